package command

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// drafts are what edits have left in /run.
func drafts(h *host.Host) []string {
	var out []string
	for _, name := range h.Names("/run") {
		if strings.HasPrefix(name, "polyinst-edit.") {
			out = append(out, name)
		}
	}
	return out
}

// What is without problems is saved and kept as the last good configuration;
// the file keeps its mode.
func TestEdit(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("chmod", "0600", host.ConfigFile)
		out := h.Command("polyinst", "edit").Env(kit.WriteEditor(h, `cp "$1" /root/seen; echo "$1" >/root/name; sed -i 's/polyinst.tmp/polyinst\/other/' "$1"`)).Stdin("p\n").Must()
		h.Match("it says", out, `^made /var/lib/polyinst/other\nsaved `+host.ConfigFile+`\nkept as the last good configuration of `+host.ConfigFile+`: `+kit.LastGood(h)+`$`)
		host.Equal(h, "what the editor saw", h.ReadFile("/root/seen"), kit.OwnTmp)
		h.Match("its name", h.ReadFile("/root/name"), `^/run/polyinst-edit\.\w+/namespace\.conf\n$`)
		host.Equal(h, "the file", h.ReadFile(host.ConfigFile), strings.Replace(kit.OwnTmp, "polyinst/tmp", "polyinst/other", 1))
		mode, _, _ := h.Mode(host.ConfigFile)
		host.Equal(h, "its mode", mode, 0o600)
		host.Equal(h, "drafts", len(drafts(h)), 0)
		host.Equal(h, "no editor and no terminal", h.Cmd("env", "-u", "EDITOR", "-u", "VISUAL", "-u", "SUDO_EDITOR", "polyinst", "edit").Stderr, "polyinst: there is no terminal here: set EDITOR to a program that needs none\n")
		host.Equal(h, "beside it", strings.Join(h.Names("/etc/security/polyinst"), " "), "namespace.conf")
		h.Match("last good", h.ReadFile(kit.LastGood(h)), `polyinst/other`)

		out = h.Command("polyinst", "edit").Env(kit.WriteEditor(h, `true`)).Must()
		host.Equal(h, "no change", out, host.ConfigFile+": not changed")
		r := h.Command("polyinst", "edit").Env(kit.WriteEditor(h, `echo colour = 1 >>"$1"; exit 1`)).Run()
		host.Equal(h, "an editor that fails: exit status", r.Code, 1)
		host.Equal(h, "the file", h.ReadFile(host.ConfigFile), strings.Replace(kit.OwnTmp, "polyinst/tmp", "polyinst/other", 1))
		// an editor with arguments, and which variable counts
		h.Command("polyinst", "edit").Env("EDITOR=false", "VISUAL=false", "SUDO_EDITOR=sed -i s/other/third/").Stdin("p\n").Must()
		host.Equal(h, "the missing parent", h.Exists("/var/lib/polyinst/third"), true)
		h.Match("the file", h.ReadFile(host.ConfigFile), "polyinst/third")
	})
}

// What is broken is not saved; its author may go on, give up, or find their text.
func TestEditBroken(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		env := kit.WriteEditor(h, `if [ -e /root/again ]; then sed -i '/colour/d; s/true/false/' "$1"; echo "skel = true" >>"$1"; else echo "colour = 1" >>"$1"; touch /root/again; fi`)
		p := h.Command("polyinst", "edit").Env(env).OnPty()
		p.Expect(`namespace\.conf:7:1: error: polydir "/tmp": unknown key "colour"`)
		p.Expect(`e: edit again, x: give up\? \[e\] $`)
		p.Send("s\n") // no way to save what is broken
		p.Expect(`e: edit again, x: give up\? \[e\] $`)
		p.Send("\n")
		p.Expect(`saved`)
		host.Equal(h, "exit status", p.Wait().Code, 0)
		host.Equal(h, "the file", h.ReadFile(host.ConfigFile), kit.OwnTmp+"skel = true\n")

		before := h.ReadFile(host.ConfigFile)
		r := h.Command("polyinst", "edit").Env(kit.WriteEditor(h, `echo "colour = 1" >>"$1"`)).Stdin("x\n").Run()
		host.Equal(h, "given up: exit status", r.Code, 1)
		host.Equal(h, "drafts", len(drafts(h)), 0)
		r = h.Command("polyinst", "edit").Env("EDITOR=/root/editor").Run()
		host.Equal(h, "nobody answers: exit status", r.Code, 1)
		h.Match("it says", r.Stderr, `(?m)^polyinst: nothing is saved; your text is /run/polyinst-edit\.\w+/namespace\.conf$`)
		host.Equal(h, "the text", h.ReadFile("/run/"+drafts(h)[0]+"/namespace.conf"), before+"colour = 1\n")
		host.Equal(h, "the file", h.ReadFile(host.ConfigFile), before)
	})
}

// What does not fit the machine is saved only if that is said; nobody else edits
// at the same time, or has changed the file meanwhile.
func TestEditAndTheMachine(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		env := kit.WriteEditor(h, `sed -i 's/"\/tmp"/"\/scratch"/' "$1"`)
		r := h.Command("polyinst", "edit").Env(env).Stdin("x\n").Run()
		host.Equal(h, "exit status", r.Code, 1)
		h.Match("it says", r.Stderr, `polydir "/scratch": does not exist.*\ne: edit again, x: give up, s: save all the same \(sessions will be refused\)\?`)
		host.Equal(h, "the file", h.ReadFile(host.ConfigFile), kit.OwnTmp)
		h.Command("polyinst", "edit").Env(env).Stdin("s\n").Must()
		h.Match("the file", h.ReadFile(host.ConfigFile), `"/scratch"`)

		h.Config(kit.OwnTmp)
		h.WriteFile("/root/slow", "#!/bin/sh\necho skel = true >>\"$1\"; echo at work; read line\n", 0o755)
		p := h.Command("polyinst", "edit").Env("EDITOR=/root/slow").OnPty()
		p.Expect("at work")
		r = h.Command("polyinst", "edit", "10-x.conf").Env("EDITOR=true").Run()
		host.Equal(h, "a second one", r.Stderr, "polyinst: /etc/security/polyinst: another polyinst edit is at work\n")
		h.Config(kit.OwnTmp + "# mine\n")
		p.Send("\n")
		p.Expect(`it was changed meanwhile`)
		host.Equal(h, "exit status", p.Wait().Code, 1)
		host.Equal(h, "the other's file", h.ReadFile(host.ConfigFile), kit.OwnTmp+"# mine\n")
		host.Equal(h, "drafts", len(drafts(h)), 1)
	})
}

// A user can open the configuration's directory, and lock it: that keeps nobody from
// editing.
func TestEditWhileAUserHoldsALock(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		alice := h.AddUser("alice")
		p := h.Command("flock", "/etc/security/polyinst", "sh", "-c", "echo held; cat").As(alice).Start()
		p.Expect("held")
		h.Command("polyinst", "edit").Env(kit.WriteEditor(h, `echo "skel = true" >>"$1"`)).Must()
		host.Equal(h, "the file", h.ReadFile(host.ConfigFile), kit.OwnTmp+"skel = true\n")
		host.Equal(h, "the lock", h.MustRun("stat", "-c", "%U %a", "/run/polyinst.edit"), "root 700")
		p.CloseInput()
		p.Wait()
	})
}

// Drop-ins are edited by name and checked with the rest; a main file that is not
// there begins with an example; a link stays one.
func TestEditOtherFiles(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		add := `cat >>"$1" <<'END'
[[polydir]]
path = "/dev/shm"
method = "tmpfs"
END`
		h.Command("polyinst", "edit", "10-shm.conf").Env(kit.WriteEditor(h, add)).Must()
		host.Equal(h, "the drop-in", strings.Contains(h.ReadFile("/etc/security/polyinst/namespace.d/10-shm.conf"), "/dev/shm"), true)
		r := h.Command("polyinst", "edit", "20-shm.conf").Env("EDITOR=/root/editor").Stdin("x\n").Run()
		h.Match("twice", r.Stderr, `namespace\.d/20-shm\.conf:2:1: error: polydir "/dev/shm": path: there is this polydir already at .*10-shm\.conf:2:1`)
		host.Equal(h, "the second drop-in", h.Exists("/etc/security/polyinst/namespace.d/20-shm.conf"), false)
		host.Equal(h, "completion", h.MustRun("polyinst", "__complete", "edit", ""), "10-shm.conf\n:4")

		h.MustRun("rm", "-r", "/etc/security/polyinst")
		out := h.Command("polyinst", "edit").Env(kit.WriteEditor(h, `cp "$1" /root/seen`)).Must()
		host.Equal(h, "an editor that is left without saving", out, host.ConfigFile+": not changed")
		host.Equal(h, "the main file", h.Exists(host.ConfigFile), false)
		h.MustRun("rmdir", "/var/lib/polyinst/tmp")
		out = h.Command("polyinst", "edit").Stdin("p\n").Env(kit.WriteEditor(h, `touch "$1"`)).Must()
		h.Match("saved as it stands", out, `^made /var/lib/polyinst/tmp\nsaved `+host.ConfigFile)
		host.Equal(h, "the main file", h.ReadFile(host.ConfigFile), h.ReadFile("/root/seen"))
		h.MustRun("polyinst", "check", "--strict")

		h.WriteFile("/srv/conf/namespace.conf", kit.OwnTmp)
		h.Sh("ln -sf /srv/conf/namespace.conf " + host.ConfigFile)
		h.Command("polyinst", "edit").Env(kit.WriteEditor(h, `echo "skel = true" >>"$1"`)).Must()
		host.Equal(h, "the link's target", h.ReadFile("/srv/conf/namespace.conf"), kit.OwnTmp+"skel = true\n")
		host.Equal(h, "the link", h.MustRun("readlink", host.ConfigFile), "/srv/conf/namespace.conf")

		h.MustRun("chmod", "0666", "/srv/conf/namespace.conf")
		r = h.Command("polyinst", "edit").Env("EDITOR=touch /root/edited").Run()
		host.Equal(h, "a file that others can change", r.Code, 1)
		h.Match("it says", r.Stderr, `mode 0666: group or others can write it`)
	})
}
