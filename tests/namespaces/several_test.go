package namespaces

import (
	"fmt"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// severalStory is a story with one process that opens sessions of alice, of bob
// and of carol, who is exempt, each by a handle of its own.
func severalStory(t *testing.T, config, line string, tell func(h *host.Host)) {
	t.Helper()
	kit.Story(t, config, nil, func(h *host.Host) {
		h.PAM("pamhost", host.Stack(line)...)
		for _, u := range []string{"alice", "bob", "carol"} {
			h.AddUser(u)
		}
		tell(h)
	})
}

// steps makes steps of words: "alice+" opens a session of alice's and "alice-"
// closes it, "second+" opens another one of alice's, "?" prints which directory
// /tmp is.
func steps(words string) []string {
	handles := map[string]int{"alice": 0, "bob": 1, "carol": 2, "second": 3}
	var out []string
	for word := range strings.FieldsSeq(words) {
		name := word[:len(word)-1]
		switch word[len(word)-1] {
		case '+':
			user := strings.ReplaceAll(name, "second", "alice")
			out = append(out, fmt.Sprintf("handle:%d", handles[name]), "user="+user, "start", "open")
		case '-':
			out = append(out, fmt.Sprintf("handle:%d", handles[name]), "close", "end")
		case '?':
			out = append(out, "root-exec:"+kit.WhichTmp)
		}
	}
	return out
}

// views are the directories that the steps "?" have seen, by name, and what
// became of every open, in order.
func views(h *host.Host, tr host.Trace) string {
	h.T.Helper()
	names := map[string]string{h.FileID("/tmp"): "public"}
	for _, u := range []string{"alice", "bob", "carol"} {
		if h.Exists(kit.Instance(u)) {
			names[h.FileID(kit.Instance(u))] = u
		}
	}
	var out []string
	for _, s := range tr.Steps {
		switch {
		case s.Step == "open" && s.RC == host.PAMSuccess:
			out = append(out, "ok")
		case s.Step == "open" && s.RC == host.PAMRefused:
			out = append(out, "refused")
		case s.Step == "root-exec" && names[s.Text] != "":
			out = append(out, names[s.Text])
		case s.Step == "open" || s.Step == "root-exec":
			out = append(out, fmt.Sprintf("%s=%d %s", s.Step, s.RC, s.Text))
		}
	}
	return strings.Join(out, " ")
}

// A process that opens a session of another user's while one is open is refused
// that, keeps the view of the first, and is where it belongs after the end.
func TestSeveralSessions(t *testing.T) {
	config := strings.ReplaceAll(kit.OwnTmp, `"root"`, `"root", "carol"`)
	cases := []struct{ name, line, words, want string }{
		{"another user is refused", kit.Session, "alice+ ? bob+ ? alice- ?", "ok alice refused alice alice"},
		{"after the close bob is not refused", kit.Session, "alice+ alice- bob+ ? bob- ?", "ok ok bob bob"},
		{"and the host is back in between", kit.Session + " unmount_on_close", "alice+ ? alice- ? bob+ ? bob- ?", "ok alice public ok bob public"},
		{"refused, with a way back", kit.Session + " unmount_on_close", "alice+ bob+ ? bob- ? alice- ?", "ok refused alice alice public"},
		{"who is exempt is refused, too", kit.Session, "alice+ carol+ ? carol- ?", "ok refused alice alice"},
		{"two of one user share the view", kit.Session, "alice+ second+ ? alice- ? bob+ ? second- bob+ ?", "ok ok alice alice refused alice ok bob"},
		{"until both are closed, in their order", kit.Session + " unmount_on_close", "alice+ second+ alice- ? bob+ second- ?", "ok ok alice refused alice"},
		{"or in reverse", kit.Session + " unmount_on_close", "alice+ second+ second- ? alice- ? bob+ ?", "ok ok alice public ok bob"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			severalStory(t, config, c.line, func(h *host.Host) {
				host.Equal(h, c.words, views(h, h.PamHost(steps(c.words)...)), c.want)
				if strings.Contains(c.want, "refused") {
					h.WaitLog(`session refused for "(bob|carol)": this process has a session of "alice" open, and can show the view of one user only`)
				}
			})
		})
	}
}

// Whether nested sessions are built from the host's view or on top of the one
// that they are in makes no difference here.
func TestSeveralAndNestedKeep(t *testing.T) {
	config := "[namespace]\nnested = \"keep\"\n" + strings.ReplaceAll(kit.OwnTmp, `"root"`, `"root", "carol"`)
	severalStory(t, config, kit.Session, func(h *host.Host) {
		host.Equal(h, "views", views(h, h.PamHost(steps("alice+ carol+ ? bob+ ?")...)), "ok refused alice refused alice")
	})
}

// A process that has joined the namespace that another one made for the same
// user is no different.
func TestSeveralAndScopeUser(t *testing.T) {
	severalStory(t, "[namespace]\nscope = \"user\"\n"+kit.OwnTmp, kit.Session+" unmount_on_close", func(h *host.Host) {
		first := h.PamHostCommand(append(steps("alice+"), "print:open", "pause")...).Start()
		first.Expect(`"print"`)
		host.Equal(h, "views", views(h, h.PamHost(steps("alice+ ? bob+ ? alice- ? bob+ ? bob- ?")...)), "ok alice refused alice public ok bob public")
		h.WaitLog(`session opened for "alice" .* of the user's other sessions`)
		first.Send("\n")
		first.Wait()
	})
}

// The line twice in one stack, as by `su -`, opens and closes twice.
func TestSeveralLinesInOneStack(t *testing.T) {
	severalStory(t, kit.OwnTmp, kit.Session+" unmount_on_close\n"+kit.Session+" unmount_on_close", func(h *host.Host) {
		host.Equal(h, "views", views(h, h.PamHost(steps("alice+ ? alice- ? bob+ ? bob- ?")...)), "ok alice public ok bob public")
	})
}

// A session that is closed takes no directory with it that another one uses.
func TestSeveralTmpdirs(t *testing.T) {
	severalStory(t, kit.Tmpdir, kit.Session, func(h *host.Host) {
		h.Forks() // else the service removes what gc would
		h.PamHost(steps("alice+ second+ alice- ?")...).RC("open", host.PAMSuccess)
		if n := kit.Instances(h); len(n) != 1 {
			t.Errorf("the parent holds %v", n)
		}
		tr := h.PamHost(steps("alice+ bob+ bob- ?")...)
		if seen := tr.Step("root-exec").Text; seen == h.FileID("/tmp") {
			t.Error("alice's view is gone")
		}
		if n := kit.Instances(h); len(n) != 2 {
			t.Errorf("the parent holds %v", n)
		}
	})
}

// Threads have views of their own, so that each can have a user of its own. What
// another thread starts is in the view of that: the log tells of it.
func TestSeveralThreads(t *testing.T) {
	severalStory(t, kit.OwnTmp, kit.Session, func(h *host.Host) {
		words := append([]string{"threads:1", "in-thread"}, steps("alice+ ?")...)
		words = append(append(words, "join", "in-thread"), steps("bob+ ?")...)
		words = append(append(words, "join"), steps("?")...)
		host.Equal(h, "views", views(h, h.PamHost(words...)), "ok alice ok bob public")
		h.WaitLog("opened by thread [0-9]+ of process [0-9]+: only what this very thread starts sees")
	})
}

// A thread that closes goes back to where it stood, and not to where the
// process's first thread is.
func TestSeveralThreadsGoBack(t *testing.T) {
	severalStory(t, kit.OwnTmp, kit.Session+" unmount_on_close", func(h *host.Host) {
		words := append([]string{"in-thread"}, steps("alice+ ?")...)
		words = append(append(words, "in-thread"), steps("bob+ ? bob- ?")...)
		words = append(append(append(words, "join"), steps("alice- ?")...), "join")
		host.Equal(h, "views", views(h, h.PamHost(words...)), "ok alice ok bob alice public")
	})
}

// What a process counts is not its child's: that has a view, and sessions, of its
// own.
func TestSeveralAndFork(t *testing.T) {
	severalStory(t, kit.OwnTmp, kit.Session, func(h *host.Host) {
		words := append(steps("alice+ ?"), "fork")
		words = append(append(append(words, steps("bob+ ? bob-")...), "join"), steps("?")...)
		host.Equal(h, "views", views(h, h.PamHost(words...)), "ok alice ok bob alice")
	})
}
