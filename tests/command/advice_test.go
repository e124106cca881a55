package command

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// A message that names a command is obeyed: whoever reads it copies what stands
// there. Then the login works, and every file is where it was.

// advice is a message with a command.
type advice struct {
	name string
	says string // as a page lists it, or as the code has it; capitals stand for values
	// conf is the configuration; empty: everybody has a /tmp
	conf  string
	fault func(h *host.Host)
	by    string // what prints the message; empty: the log of alice's login
	mend  func(h *host.Host)
	do    []int // which of the message's commands are for this case; nil: all of them
	with  *strings.Replacer
	user  string // who logs in; empty: alice
	warns bool   // the login works before, too
	aside bool   // the user's files are kept elsewhere, and not shown
	// hidden: what is wrong shows only when it is tried, so that doctor sees nothing now
	hidden bool
}

func reuid(h *host.Host)  { h.MustRun("usermod", "-u", "4711", "alice") }
func rename(h *host.Host) { h.MustRun("usermod", "-l", "carol", "alice") }

func damaged(commands string) func(h *host.Host) {
	return func(h *host.Host) { h.MustRun("sh", "-ec", commands) }
}

// withScript is a configuration with a script for each login.
var withScript = kit.Everybody + "init = \"/etc/security/polyinst/first\"\ninit_when = \"always\"\n"

var advices = []advice{
	{name: "the file is another's", says: "PATH: owned by uid UID, want root: chown root PATH",
		fault: damaged("chown alice " + host.ConfigFile)},
	{name: "the file is open", says: "PATH: mode MODE: group or others can write it: chmod go-w PATH",
		fault: damaged("chmod 666 " + host.ConfigFile)},
	{name: "the records are open", says: "PATH: mode MODE: group or others can write it: chmod go-w PATH",
		fault: damaged("chmod 777 /run/polyinst")},
	{name: "the locks are open", says: "its lock: PATH: mode MODE: group or others can write it: chmod go-w PATH",
		fault: damaged("chmod 777 " + kit.TmpParent + "/.lock")},
	{name: "no last good one", says: "PROBLEM; and there is no last good configuration: none was accepted: `polyinst check --accept` keeps one, once the file is mended",
		fault: func(h *host.Host) {
			h.PAM("su", host.Stack(kit.Session+" config_error=last-good")...)
			h.Config("junk")
		}, mend: func(h *host.Host) { h.Config(kit.Everybody) }},
	{name: "no sticky bit", says: "mode MODE: root's and writable by everybody without the sticky bit, as its instances would be: chmod +t PATH",
		fault: damaged("chmod 777 /tmp")},
	{name: "no parent", says: "does not exist: `polyinst prepare` makes it",
		fault: damaged("mv " + kit.TmpParent + " /root/away"), aside: true},
	{name: "no parent of another file", says: "does not exist: `polyinst prepare --conf PATH` makes it",
		fault: func(h *host.Host) {
			h.WriteFile("/etc/other.conf", strings.Replace(kit.Everybody, "polyinst/tmp", "polyinst/other", 1))
			h.PAM("su", host.Stack(kit.Session+" conf=/etc/other.conf")...)
		}, aside: true},
	{name: "no network", says: "DIRECTORY/NAME does not exist: `ip netns add NAME` makes it",
		fault: func(h *host.Host) { h.Config("[namespace]\nnetwork = \"netns:net-$USER\"\n" + kit.Everybody) }},
	{name: "the state is another's, by prepare", says: "that prepare has run is not kept: PATH: owned by uid UID, want root: chown root PATH", by: "polyinst prepare",
		fault: damaged("chown alice /var/lib/polyinst")},
	{name: "a parent of another", says: "owned by uid UID, want root: chown root:root PATH",
		fault: damaged("chown alice " + kit.TmpParent)},
	{name: "a parent of another, by prepare", says: "owned by uid UID, want root: chown root:root PATH", by: "polyinst prepare",
		fault: damaged("chown alice " + kit.TmpParent)},
	{name: "a parent of another mode", says: "mode MODE, want MODE: chmod MODE PATH",
		fault: damaged("chmod 755 " + kit.TmpParent)},
	{name: "a parent of another mode, by check", says: "mode MODE, want MODE: chmod MODE PATH", by: "polyinst check",
		fault: damaged("chmod 755 " + kit.TmpParent)},
	{name: "a parent of another elsewhere", says: "owned by uid UID, want root: chown root:root PATH, if nothing but instances is in it, else use a place below /var/lib/polyinst",
		conf: strings.Replace(kit.Everybody, host.Parents+"/tmp/", "/data/inst/tmp/", 1), fault: damaged("chown alice /data/inst/tmp")},
	{name: "a parent of another mode elsewhere", says: "mode MODE, want MODE: chmod MODE PATH, if nothing but instances is in it, else use a place below /var/lib/polyinst",
		conf: strings.Replace(kit.Everybody, host.Parents+"/tmp/", "/data/inst/tmp/", 1), fault: damaged("chmod 700 /data/inst/tmp")},
	{name: "an immutable parent", says: "is immutable: chattr -ia PATH",
		fault: damaged("chattr +i " + kit.TmpParent), user: "bob", aside: true},
	{name: "another uid, of the same person", says: "was made for uid UID, and \"NAME\" has uid UID now: `polyinst prepare --repair PATH --from-uid UID` if that is the same person, else `polyinst prepare --aside PATH`",
		fault: reuid, do: []int{0}},
	{name: "another uid, of another person", says: "was made for uid UID, and \"NAME\" has uid UID now: `polyinst prepare --repair PATH --from-uid UID` if that is the same person, else `polyinst prepare --aside PATH`",
		fault: reuid, do: []int{1}, aside: true},
	{name: "another uid, by list", says: "it was made for uid UID, and \"NAME\" has uid UID: `polyinst prepare --repair PATH --from-uid UID` if that is the same person, else `polyinst prepare --aside PATH`",
		fault: reuid, by: "polyinst list --instances", do: []int{0}},
	{name: "another uid, by gc", says: "it was made for uid UID, and \"NAME\" has uid UID: `polyinst prepare --repair PATH --from-uid UID` if that is the same person, else `polyinst prepare --aside PATH`",
		fault: reuid, by: "polyinst gc --orphans", do: []int{1}, aside: true},
	{name: "another uid, by repair", says: "PATH: was made for uid UID, and \"NAME\" has uid UID: with --from-uid UID, if that is the same person, what is uid UID's in it becomes theirs; if it is not, `polyinst prepare --aside PATH`",
		fault: reuid, by: "polyinst prepare --repair " + kit.Instance("alice"), aside: true},
	{name: "an instance of another", says: "owned by uid UID, want UID like the polydir: `polyinst prepare --repair PATH`",
		fault: damaged("chown alice " + kit.Instance("alice"))},
	{name: "an instance of another in a home", says: "owned by uid UID, want UID like the polydir: `polyinst prepare --repair PATH`",
		conf:  strings.Replace(kit.Everybody, `"/tmp"`, `"$HOME/files"`, 1) + "create = { mode = \"0700\" }\n",
		fault: damaged("chown root " + kit.Instance("alice"))},
	{name: "an open instance", says: "mode MODE: writable by everybody without the sticky bit: `polyinst prepare --repair PATH`",
		fault: damaged("chmod 777 " + kit.Instance("alice"))},
	{name: "an open script", says: "init script \"PATH\": mode MODE: group or others can write it: chmod go-w PATH",
		conf: withScript, fault: damaged("chmod 777 /etc/security/polyinst/first")},
	{name: "a closed instance", says: "polydir \"PATH\": instance \"PATH\": owner, group and mode are UID:GID MODE, and the polydir's UID:GID MODE: \"USER\" can do less in it than there: `polyinst prepare --repair PATH`",
		fault: damaged("chmod 400 " + kit.Instance("alice")), warns: true},
	{name: "a closed instance, by check", says: "polydir \"PATH\": instance \"PATH\": owner, group and mode are UID:GID MODE, and the polydir's UID:GID MODE: \"USER\" can do less in it than there: `polyinst prepare --repair PATH`",
		fault: damaged("chmod 755 " + kit.Instance("alice")), by: "polyinst check", warns: true},
	{name: "a closed public directory", says: "polydir \"PATH\": mode MODE, and instances get it: users can make no files there: chmod 1777 PATH",
		fault: damaged("chmod 755 /tmp"), by: "polyinst check", warns: true},
	{name: "a renamed account", hidden: true, says: "polydir \"PATH\": a new instance is made for \"USER\", beside \"NAME\", which was made for the same uid: if the account was renamed, `polyinst prepare --aside INSTANCE`, then `polyinst rename NAME USER` take the old one along",
		fault: rename, user: "carol", warns: true},
	{name: "a renamed account, by gc", says: "there is no account of this name any more, and uid UID is \"NAME\": `polyinst rename OLD NAME` if that is the same person",
		fault: rename, user: "carol", by: "polyinst gc --orphans", warns: true},
	{name: "a renamed account, by list", says: "there is no account of this name any more, and uid UID is \"NAME\": `polyinst rename OLD NAME` if that is the same person",
		fault: rename, user: "carol", by: "polyinst list --instances", warns: true},
	{name: "a renamed account, by repair", says: "PATH: its name is that of no account: `polyinst rename NAME NEW` first",
		fault: rename, user: "carol", by: "polyinst prepare --repair " + kit.Instance("alice") + " --from-uid 3001", with: strings.NewReplacer("NEW", "carol"), warns: true},
	{name: "a renamed account that has logged in", says: "PATH: there is something already: look at it, and `polyinst prepare --aside PATH` if it is of no use",
		fault: func(h *host.Host) { rename(h); h.MustRun("su", "carol", "-c", "true") }, user: "carol", by: "polyinst rename alice carol",
		warns: true, aside: true},
}

// notObeyed are messages whose command is none to be run here, and why.
var notObeyed = map[string]string{
	"`polyinst list --instances` shows them":                                                                                       "it only shows",
	"`polyinst list --instances` shows who has how much":                                                                           "it only shows",
	"`polyinst try USER --service SERVICE` rehearses one":                                                                          "it only shows",
	"`polyinst status --json`":                                                                                                     "it only shows",
	"off: no service has our line: `polyinst enable SERVICE...`":                                                                   "TestStatus, TestEnableTwice",
	"for it: `cp OTHER FILE`, and then `polyinst enable NAME`":                                                                     "TestCheckRun0WithoutAStack obeys it",
	"and nobody takes it back: `polyinst prepare` does":                                                                            "TestEnableIsTakenBack",
	"SERVICE, until TIME: `polyinst confirm`":                                                                                      "TestStatus obeys it",
	"`polyinst enable` once more":                                                                                                  "TestEnableIsTakenBack",
	"which is for these services: SERVICES: `polyinst disable FILE` takes it from all of them":                                     "TestEnableKeepsTheRest obeys it",
	"`polyinst real -- polyinst enable` begins in the host's view":                                                                 "TestEnableInAPrivateNamespace obeys it",
	"is to be confirmed first, of SERVICE: `polyinst confirm`, or `polyinst disable SERVICE`":                                      "TestEnableWaiter, TestEnableIsTakenBack obey it",
	"not every file is as it was: `polyinst disable SERVICE`":                                                                      "a change of which the way back fails as well",
	"owned by uid UID, and so is each instance, whoever's it is: chown root:root PATH, and only then repair instances":             "instances that were made meanwhile are repaired one by one",
	"as `polyinst explain` says)":                                                                                                  "it only shows",
	"`polyinst enable --tmp` with these services begins with a private /tmp":                                                       "TestEnableInThreeCommands",
	"a line before ours ends it (`polyinst check --pam`)":                                                                          "it only shows",
	"`polyinst convert` translates its configuration, and `polyinst enable --convert NAME` then puts pam_polyinst.so in its place": "TestEnableInsteadOfNamespace obeys it",
	"pam_namespace.so stands in another file, PLACE: `polyinst enable --convert` with the name of that file":                       "TestEnableInsteadOfNamespace obeys it",
	"`polyinst gc` removes what is left":                                                                                           "the session has ended: TestKilledHost runs it",
	"tmpdir instances wait for `polyinst gc`; the policy module":                                                                   "SELinux; gc is what the timer runs",
	"are left to `polyinst gc`":                                                                                                    "what the timer does",
	"it is left to `polyinst gc`":                                                                                                  "what the timer does",
	"or by `polyinst gc`: try again":                                                                                               "who holds it, and not what to do",
	"more: `polyinst check` shows them":                                                                                            "it only shows",
	"`polyinst list` shows":                                                                                                        "it only shows",
	"(`polyinst check FILE` shows all)":                                                                                            "it only shows",
	"and nothing is mounted there: `mount DIRECTORY`":                                                                              "TestParentsOnAFilesystemThatIsNotMounted",
	"`getent passwd`":                                       "it only shows",
	"`getent group`":                                        "it only shows",
	"(`polyinst check --pam FILE`)":                         "it only shows",
	"setsebool -P NAME on":                                  "virtual machines: vm:selinux",
	"which is labelled \"LABEL\": restorecon -F FILE":       "virtual machines: vm:units",
	"chcon -R --reference=DIRECTORY DIRECTORY/.lock":        "virtual machines: vm:units",
	"`polyinst check --pam` names what has the wrong label": "it only shows",
	"or begin with `polyinst disable SERVICE`":              "TestEnableTwice obeys it",
	"semanage fcontext -a -t tmp_t '/var/lib/polyinst/[^/]+'; restorecon -F /var/lib/polyinst/*)":                 "virtual machines: vm:selinux",
	"labelled \"CONTEXT\", want \"CONTEXT\": another level is never taken over: `polyinst prepare --repair PATH`": "virtual machines: vm:selinux",
	"labelled \"LABEL\", want \"LABEL\": another label is never taken over: `polyinst prepare --repair PATH`":     "virtual machines: vm:smack",
	"setfattr -n security.SMACK64 -v LABEL PATH":                                                                  "virtual machines: vm:smack",
	"ext4 needs the features quota and project (tune2fs -O quota,project -Q prjquota)":                            "a filesystem on a device",
	"has no project yet, and more than N files: `polyinst prepare` gives it one":                                  "a filesystem on a device",
	"was built without its linker script: use `make build`":                                                       "a build",
	"chown PATH: deeper than N directories":                                                                       "a fault of the system call",
	"begin with `polyinst edit`":                                                                                  "an editor: TestEdit",
	"`polyinst convert`":                                                                                          "it only prints: TestConvert",
	"`polyinst check --accept` keeps a list for that":                                                             "TestRescueByABrokenFile",
	"PROBLEM: `polyinst prepare --repair PATH --from-uid UID`":                                                    "the end of a rename that was cut short",
	"`polyinst prepare --aside` has put it there":                                                                 "what has been",
	"for nobody: `polyinst gc --orphans` removes it in time":                                                      "TestAsideIsRemovedInTime",
	"after `polyinst prepare`, while nobody is logged in, this takes the instances along":                         "TestConvertParents",
	"OWNER, want OWNER, with the changes of an overlay in it: `polyinst prepare --aside PATH`":                    "TestOverlayIsRefused",
	"PATH: PROBLEM: `polyinst prepare --aside INSTANCE`":                                                          "TestOverlayIsRefusedByTheKernel",
	"INSTANCE: the changes were made over another directory: `polyinst prepare --aside INSTANCE`":                 "TestOverlayIsRefusedByTheKernel",
	"INSTANCE: ERROR, of another namespace of the user's: end the sessions in it, which `polyinst list` shows":    "TestOverlayHasItsChangesAlone",
	"PATH: holds no changes of an overlay: `polyinst prepare --aside PATH`":                                       "TestOverlayAndTheTools",
	"is not executable, for which pam_namespace denies every session: chmod it, remove it, or write noinit":       "a choice",
	"SELinux's boolean NAME is off, and login programs are denied what they need: setsebool -P NAME on":           "virtual machines: vm:selinux",
}

var (
	command = regexp.MustCompile("`((?:polyinst|getent|make|fuser|mount|ip) [^`]*|nscd[^`]*)`|\\b((?:chmod|chown|chattr|chcon|setsebool|setfattr|semanage|tune2fs|restorecon) [^,;`)]*)")
	capital = regexp.MustCompile(`"[A-Z]+"|\b[A-Z]{2,}\b|\bN\b`)
	verb    = regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`)
)

// commands are those that a message names.
func commands(text string) []string {
	var out []string
	for _, m := range command.FindAllStringSubmatch(text, -1) {
		out = append(out, strings.TrimSpace(m[1]+m[2]))
	}
	return out
}

// pattern matches the message that a page lists.
func pattern(says string) *regexp.Regexp {
	var b strings.Builder
	last := 0
	for _, at := range capital.FindAllStringIndex(says, -1) {
		b.WriteString(regexp.QuoteMeta(says[last:at[0]]) + `(?:"[^"]*"|.+?)`)
		last = at[1]
	}
	b.WriteString(regexp.QuoteMeta(says[last:]))
	return regexp.MustCompile("(?m)" + b.String())
}

func TestAdviceIsObeyed(t *testing.T) {
	for _, a := range advices {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			if a.conf == "" {
				a.conf = kit.Everybody
			}
			if a.user == "" {
				a.user = "alice"
			}
			kit.Story(t, a.conf, []string{"su"}, func(h *host.Host) { a.obey(h) })
		})
	}
}

func (a advice) obey(h *host.Host) {
	h.AddUser("alice", host.User{UID: 3001})
	h.AddUser("bob")
	h.WriteFile("/etc/security/polyinst/first", "#!/bin/sh\n", 0o755)
	dir := "/tmp"
	if strings.Contains(a.conf, "$HOME/files") {
		dir = "/home/alice/files"
	}
	h.MustRun("su", "alice", "-c", "echo precious >"+dir+"/precious")
	files := func() string {
		return h.Sh("find /var/lib/polyinst /data /root/away -name precious -type f -exec cat {} + 2>/dev/null || true")
	}
	host.Equal(h, "the user's file", files(), "precious")
	a.fault(h)
	h.ForgetLog()
	var r host.Result
	if !a.warns || a.by == "" { // else it would make a new instance
		r = h.Su(a.user, "true")
		host.Equal(h, "the login works before", r.Code == 0, a.warns)
	}
	text := ""
	if a.by == "" {
		text = h.WaitLog(pattern(a.says).String()).Text
	} else {
		r := h.Cmd("sh", "-c", a.by)
		text = r.Stdout + r.Stderr
	}
	said := pattern(a.says).FindString(text)
	if said == "" {
		h.T.Fatalf("not said: %s\n%s", a.says, text)
	}
	// the last value of a pattern ends too early
	line, _, _ := strings.Cut(text[strings.Index(text, said):], "\n")
	found := commands(line)
	if a.by == "" && !a.hidden {
		doctor := h.Cmd("polyinst", "doctor", a.user, "--service", "su")
		host.Equal(h, "doctor: exit status", doctor.Code == 0, a.warns)
		_, do, _ := strings.Cut(doctor.Stdout, "\ndo")
		for _, c := range found {
			if !strings.Contains(do, "  "+c+"\n") {
				h.T.Errorf("doctor does not say %q:\n%s", c, doctor.Stdout)
			}
		}
	}
	if a.mend != nil {
		a.mend(h)
	}
	for i, c := range found {
		if a.do != nil && !slices.Contains(a.do, i) {
			continue
		}
		if a.with != nil {
			c = a.with.Replace(c)
		}
		h.MustRun("sh", "-c", c)
	}
	if len(found) == 0 {
		h.T.Fatalf("no command in %q", line)
	}
	h.ForgetLog()
	r = h.Su(a.user, "cat "+dir+"/precious; touch "+dir+"/new && echo wrote")
	want := "precious\nwrote"
	if a.aside {
		want = "wrote"
	}
	host.Equal(h, "after "+fmt.Sprint(found)+" the session shows", strings.TrimSpace(r.Stdout), want)
	host.Equal(h, "the user's file", files(), "precious")
	if a.by == "" && pattern(a.says).MatchString(fmt.Sprint(h.ModuleLog())) {
		h.T.Errorf("it is said once more: %v", h.ModuleLog())
	}
}

// A command that a message names is one also where names have in them what means
// something to a shell.
func TestAdviceQuotesNames(t *testing.T) {
	const (
		user  = `DOM\o'neil & co`
		place = "/var/lib/polyinst/it's $HOME"
	)
	conf := strings.Replace(kit.Everybody, `"/var/lib/polyinst/tmp/"`, `"`+strings.ReplaceAll(place, "$", "$$")+`/"`, 1)
	mine := place + "/" + user
	for name, c := range map[string]struct {
		fault []string
		by    []string // what prints the message; nil: the log of the login
		does  string   // how the command begins
	}{
		"parent's owner":    {[]string{"chown", "bob", place}, nil, "chown root:root "},
		"parent's mode":     {[]string{"chmod", "755", place}, nil, "chmod 0000 "},
		"parent immutable":  {[]string{"sh", "-c", `rm -r "$1/"* && chattr +i "$1"`, "sh", place}, nil, "chattr -ia "},
		"instance's owner":  {[]string{"chown", "bob", mine}, nil, `polyinst prepare --conf '/etc/it'\''s mine/namespace.conf' --repair `},
		"instance closed":   {[]string{"chmod", "400", mine}, []string{"polyinst", "check"}, "polyinst prepare --repair "},
		"uid":               {[]string{"sed", "-i", "s/:3001:3001:/:4711:3001:/", "/etc/passwd"}, nil, `polyinst prepare --conf '/etc/it'\''s mine/namespace.conf' --repair `},
		"uid, by list":      {[]string{"sed", "-i", "s/:3001:3001:/:4711:3001:/", "/etc/passwd"}, []string{"polyinst", "list", "--instances"}, "polyinst prepare --repair "},
		"file's owner":      {[]string{"chown", "bob", "/etc/it's mine/namespace.conf"}, nil, "chown root "},
		"file that is open": {[]string{"chmod", "666", "/etc/it's mine/namespace.conf"}, nil, "chmod go-w "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, "", nil, func(h *host.Host) {
				h.AddUser(user, host.User{UID: 3001, Home: "/home/neil"})
				h.AddUser("bob")
				h.Config(conf)
				h.WriteFile("/etc/it's mine/namespace.conf", conf)
				h.PAM("su", host.Stack(kit.Session+" [conf=/etc/it's mine/namespace.conf]")...)
				h.Prepare(place)
				h.MustRun("su", user, "-c", "true")
				h.MustRun(c.fault...)
				h.ForgetLog()
				var text string
				if c.by == nil {
					host.Equal(h, "the login works before", h.Su(user, "true").Code == 0, false)
					text = h.WaitLog("session refused").Text
				} else {
					r := h.Cmd(c.by...)
					text = r.Stdout + r.Stderr
				}
				i := slices.IndexFunc(commands(text), func(s string) bool { return strings.HasPrefix(s, c.does) })
				if i < 0 {
					t.Fatalf("no %q in %q", c.does, text)
				}
				h.MustRun("sh", "-c", commands(text)[i])
				host.Equal(h, "the login works after "+commands(text)[i], h.Su(user, "touch /tmp/new").Code, 0)
			})
		})
	}
}

// Each message with a command is obeyed here, or says why it is not.
func TestAdviceIsComplete(t *testing.T) {
	known := func(message *regexp.Regexp) bool {
		for _, a := range advices {
			if message.MatchString(a.says) {
				return true
			}
		}
		for says := range notObeyed {
			if message.MatchString(says) {
				return true
			}
		}
		return false
	}
	exempt := func(text string) bool {
		return slices.ContainsFunc(keys(notObeyed), func(says string) bool { return pattern(says).MatchString(text) })
	}
	there := map[string]bool{}
	note := func(text string) {
		for says := range notObeyed {
			if pattern(says).MatchString(text) {
				there[says] = true
			}
		}
	}
	for _, page := range kit.SourceFiles(t, "man/*.8") {
		_, text, _ := strings.Cut(kit.ReadDoc(t, page), "\n.Sh DIAGNOSTICS")
		text, _, _ = strings.Cut(text, "\n.Sh ")
		for _, m := range regexp.MustCompile(`(?m)^\.It (.*)$`).FindAllStringSubmatch(text, -1) {
			message := strings.NewReplacer(`\(dq`, `"`, `\-`, "-", `\&`, "").Replace(m[1])
			note(message)
			if len(commands(message)) > 0 && !strings.HasPrefix(message, "chmod PATH") && !strings.HasPrefix(message, "chown PATH") &&
				!exempt(message) && !slices.ContainsFunc(advices, func(a advice) bool { return a.says == message }) {
				t.Errorf("%s: nobody obeys %q", page, message)
			}
		}
	}
	for _, file := range kit.SourceFiles(t, "internal/*/*.go", "internal/*/*/*.go", "cmd/*/*.go", "cmd/*/internal/*/*.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		kit.GoStrings(t, file, func(where, text string) {
			text = strings.TrimSpace(text)
			if len(commands(text)) == 0 || strings.Contains(text, "\n") { // help
				return
			}
			var b strings.Builder
			for i, part := range verb.Split(text, -1) {
				if i > 0 {
					b.WriteString(".*")
				}
				b.WriteString(regexp.QuoteMeta(strings.TrimSpace(part)) + `\s*`)
			}
			filled := verb.ReplaceAllString(text, "VALUE")
			note(filled)
			if !exempt(filled) && !known(regexp.MustCompile(strings.ReplaceAll(b.String(), `\s*.*`, ".*"))) {
				t.Errorf("%s: nobody obeys %q", where, text)
			}
		})
	}
	for says := range notObeyed {
		if !there[says] {
			t.Errorf("nothing says %q any more", says)
		}
	}
}

func keys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}

// What was set aside goes by the command that its message names, and nothing else
// does.
func TestAsideIsRemovedInTime(t *testing.T) {
	kit.Story(t, kit.Everybody, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice", host.User{UID: 3001})
		h.MustRun("su", "alice", "-c", "echo of no use >/tmp/mine")
		said := h.MustRun("polyinst", "prepare", "--aside", kit.Instance("alice")+"/") // as a shell completes it
		aside := kit.Instance("alice") + ".uid-3001"
		host.Equal(h, "said", said, "moved "+kit.Instance("alice")+" to "+aside+", for nobody: `polyinst gc --orphans` removes it in time")
		h.MustRun("su", "alice", "-c", "echo precious >/tmp/mine")
		h.Match("list", h.MustRun("polyinst", "list", "--instances"), "`polyinst prepare --aside` has put it there")
		h.Match("at once", h.MustRun("polyinst", "gc", "--orphans"), "--orphaned-for")
		host.Equal(h, "it is there", h.Exists(aside), true)
		h.MustRun("touch", "-d", "31 days ago", kit.TmpParent+"/.lock/alice.uid-3001")
		h.Match("in time", h.MustRun("polyinst", "gc", "--orphans"), "removed "+aside)
		host.Equal(h, "it is there", h.Exists(aside), false)
		host.Equal(h, "what alice has now", h.MustRun("su", "alice", "-c", "cat /tmp/mine"), "precious")

		// an account may have such a name, and another uid since: its instance is its own
		h.AddUser("alice.uid-3002", host.User{UID: 3002})
		h.MustRun("su", "alice.uid-3002", "-c", "echo precious >/tmp/mine")
		h.MustRun("usermod", "-u", "3003", "alice.uid-3002")
		h.MustRun("polyinst", "gc", "--orphans", "--orphaned-for", "0d")
		host.Equal(h, "that account's instance is there", h.Exists(kit.Instance("alice.uid-3002")), true)
	})
}

// A prefix that leads into instances closes none of them: no command says so.
func TestParentThatIsAnInstance(t *testing.T) {
	kit.Story(t, kit.Everybody, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("su", "alice", "-c", "echo precious >/tmp/mine")
		h.Config(strings.Replace(kit.Everybody, "/tmp/\"", "/tmp/$USER/\"", 1))
		is := `instance parent "` + kit.Instance("alice") + `": (owned by uid \d+, want root|mode 1777, want 0000): it is itself an instance, with a user's files: use a place below /var/lib/polyinst`
		for _, fault := range []string{"true", "chown alice " + kit.Instance("alice")} {
			h.MustRun("sh", "-c", fault)
			host.Equal(h, "alice", kit.Admitted(h, "alice"), false)
			h.WaitLog(is + "$")
			h.ForgetLog()
			h.Match("check", h.Cmd("polyinst", "check").Stderr, is)
			h.Match("prepare", h.Cmd("polyinst", "prepare").Stderr, is)
		}
	})
}

// Whoever cannot use their instance as they use the public directory is told by
// all, and nobody else is.
func TestClosedInstance(t *testing.T) {
	for mode, closed := range map[string]bool{"0000": true, "0400": true, "0500": true, "0700": true, "0755": true, "1755": true, "1777": false, "3777": false} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.Everybody, []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				h.MustRun("su", "alice", "-c", "true")
				h.MustRun("chmod", mode, kit.Instance("alice"))
				h.ForgetLog()
				says := `"alice" can do less in it than there: ` + "`polyinst prepare --repair " + kit.Instance("alice") + "`"
				r := h.Su("alice", "touch /tmp/mine")
				host.Equal(h, "she can make a file", r.Code == 0, !closed)
				host.Equal(h, "the log says so", strings.Contains(fmt.Sprint(h.ModuleLog()), says), closed)
				host.Equal(h, "check says so", strings.Contains(h.Cmd("polyinst", "check").Stderr, "warning: for alice: polydir \"/tmp\": instance"), closed)
				host.Equal(h, "explain says so", strings.Contains(h.MustRun("polyinst", "explain", "alice", "--service", "su"), "leave its owner, group and mode 0:0 "+mode), closed)
			})
		})
	}
}
