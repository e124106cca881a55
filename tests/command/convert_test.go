package command

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// What pam_namespace reads; see pam_namespace(8).
const (
	peerConf    = "/etc/security/namespace.conf"
	peerInit    = "/etc/security/namespace.init"
	peerDropins = "/etc/security/namespace.d"
	peerSession = "session required pam_namespace.so"
)

// needPeer leaves the story out where the machine has not got pam_namespace's module.
func needPeer(h *host.Host) {
	h.T.Helper()
	if !h.Exists(filepath.Join(filepath.Dir(h.Module()), "pam_namespace.so")) {
		h.T.Skip(host.NeedsProgram, "pam_namespace.so")
	}
}

// converted runs `polyinst convert` and installs what it prints.
func converted(h *host.Host, args ...string) string {
	h.T.Helper()
	text := h.MustRun(append([]string{"polyinst", "convert"}, args...)...)
	h.Config(text)
	h.MustRun("polyinst", "check", "--config-only")
	return text
}

// A host that goes over from pam_namespace keeps its users' files.
func TestConvertedHostKeepsItsData(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		needPeer(h)
		h.Install()
		h.AddUser("alice")
		long := strings.Repeat("x", 90)
		h.AddUser(long)
		h.WriteFile(peerConf, "/tmp /srv/tmp-inst/ user:noinit root # the old line\n")
		h.Mkdir("/srv/tmp-inst", 0, 0, 0)
		h.PAM("su", host.Stack(peerSession+" ignore_config_error")...)
		for _, u := range []string{"alice", long} {
			h.MustRun("su", u, "-c", "echo "+u+" >/tmp/mine")
		}

		converted(h)
		h.WriteFile("/etc/pam.d/su", h.MustRun("polyinst", "convert", "/etc/pam.d/su")+"\n")
		for _, u := range []string{"alice", long} {
			host.Equal(h, "what a session finds", h.MustRun("su", u, "-c", "cat /tmp/mine"), u)
		}
		if log := h.ModuleLog(); len(log) == 0 {
			t.Error("the sessions were not ours")
		}
	})
}

// The command's contract with scripts: what is on which stream, and the exit
// status.
func TestConvertCommand(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Install()
		h.WriteFile("/root/good", "/tmp /t/ user:noinit root,@wheel\n")
		h.WriteFile("/root/bad", "/tmp /t/ user:shraed root\n")
		h.WriteFile("/root/pam", "auth required pam_unix.so\nsession required pam_namespace.so debug\n")

		good := h.Cmd("polyinst", "convert", "/root/good")
		host.Equal(h, "exit status", good.Code, 0)
		h.Match("standard output", good.Stdout, `(?m)^path += "/tmp"$`)
		h.Match("standard error", good.Stderr, `(?m)^/root/good:1: "@wheel" is no group to pam_namespace`)

		bad := h.Cmd("polyinst", "convert", "/root/bad")
		host.Equal(h, "exit status where it refuses", bad.Code, 1)
		h.Match("the refusal", bad.Stderr, `(?m)^/root/bad:1: refused: unknown flag "shraed"`)
		h.WriteFile("/root/half", bad.Stdout)
		half := h.Cmd("polyinst", "check", "/root/half")
		host.Equal(h, "a half converted file does not load", half.Code, 1)
		h.Match("why", half.Stderr, "undecided: `polyinst convert` could not decide about this table, do as the comments above it say")

		pam := h.Cmd("polyinst", "convert", "/root/pam")
		host.Equal(h, "a PAM file", pam.Stdout, "auth required pam_unix.so\nsession required pam_polyinst.so debug\n")
		both := h.Cmd("polyinst", "convert", "/root/pam", "/root/good")
		h.Match("PAM lines beside a configuration", both.Stdout, `(?m)^#     session required pam_polyinst\.so debug$`)
		h.WriteFile("/root/both", both.Stdout)
		h.MustRun("polyinst", "check", "--config-only", "/root/both")

		h.MustRun("sh", "-c", "rm -rf /etc/pam.d; mkdir /etc/pam.d; cp /root/pam /etc/pam.d/one; echo 'auth required pam_unix.so' >/etc/pam.d/two")
		lines := h.MustRun("polyinst", "convert", "--pam")
		host.Equal(h, "--pam", lines, "# /etc/pam.d/one:2: session required pam_namespace.so debug\nsession required pam_polyinst.so debug")

		h.MustRun("rm", "-f", peerConf)
		host.Equal(h, "no configuration of pam_namespace's", h.Cmd("polyinst", "convert", "--vendordir=/srv").Code, 1)
		host.Equal(h, "no such file", h.Cmd("polyinst", "convert", "/root/absent").Code, 1)
		for _, command := range []string{"convert", "check"} {
			r := h.Cmd("polyinst", command, "--pam", "/etc/pam.d")
			host.Equal(h, command+" --pam DIR", r.Code, 2)
			h.Match(command+" --pam DIR", r.Stderr, `/etc/pam.d is a directory: did you mean --pam=/etc/pam.d\?`)
		}
	})
}

// The files are those that pam_namespace reads: of two drop-ins of one name that in
// /etc, and the vendor's main file only where /etc has none.
func TestConvertVendorFiles(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Install()
		h.MustRun("rm", "-f", peerInit)
		h.MustRun("mkdir", "-p", "/srv/security/namespace.d", peerDropins)
		for file, polydir := range map[string]string{
			peerConf:                            "/main",
			"/srv/security/namespace.conf":      "/vendor",
			peerDropins + "/b.conf":             "/b",
			"/srv/security/namespace.d/a.conf":  "/a",
			"/srv/security/namespace.d/b.conf":  "/hidden",
			"/srv/security/namespace.d/.x.conf": "/dot",
			"/srv/security/namespace.init":      "",
			peerDropins + "/c":                  "/c",
		} {
			h.WriteFile(file, polydir+" /p/ user\n", 0o755)
		}
		path := regexp.MustCompile(`(?m)^path += "(.*)"$`)
		polydirs := func() string {
			var found []string
			for _, m := range path.FindAllStringSubmatch(h.MustRun("polyinst", "convert", "--vendordir", "/srv"), -1) {
				found = append(found, m[1])
			}
			return strings.Join(found, " ")
		}
		host.Equal(h, "both directories", polydirs(), "/main /a /b")
		h.Match("the vendor's script", h.MustRun("polyinst", "convert", "--vendordir", "/srv"), `init += "/srv/security/namespace.init"`)
		h.MustRun("rm", peerConf)
		host.Equal(h, "without a main file in /etc", polydirs(), "/vendor /a /b")
	})
}

// pam_namespace's own example, its three lines uncommented, makes the directories
// that pam_namespace makes.
func TestConvertedExample(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		needPeer(h)
		h.Install()
		var conf strings.Builder
		for line := range strings.Lines(h.ReadFile(peerConf)) {
			if regexp.MustCompile(`^#[/$]`).MatchString(line) {
				line = line[1:]
			}
			conf.WriteString(line)
		}
		if strings.Count(conf.String(), "level") < 3 {
			t.Skip("the example of this machine is another one")
		}
		w := &world{
			h: h, conf: conf.String(), users: []string{"root", "alice", "bob"},
			fresh:    []string{"/home", "/tmp", "/var/tmp", "/tmp-inst"},
			polydirs: []string{"/tmp", "/var/tmp", "$HOME"},
			set: func() {
				h.MustRun("chmod", "1777", "/tmp", "/var/tmp")
				h.MustRun("chmod", "0", "/tmp-inst")
				h.Mkdir("/var/tmp/tmp-inst", 0, 0, 0)
				for _, u := range []string{"alice", "bob"} {
					h.MustRun("install", "-d", "-o", u, "-g", u, "-m", "700", "/home/"+u)
				}
			},
		}
		h.Mkdir("/tmp-inst", 0, 0, 0)
		h.AddUser("alice")
		h.AddUser("bob")
		w.compare("the example")
		if !strings.Contains(w.seen, "/tmp-inst/alice/mark-alice") || !strings.Contains(w.seen, "/var/tmp/mark-root") {
			t.Errorf("the sessions were not polyinstantiated:\n%s", w.seen)
		}
	})
}

// world is a host in which the same sessions are opened twice, by pam_namespace and
// by us after conversion, on fresh directories.
type world struct {
	h        *host.Host
	conf     string // pam_namespace's
	args     string // of the PAM line
	users    []string
	fresh    []string // directories that are an empty tmpfs for each of the two
	polydirs []string // with $USER and $HOME, as a shell expands them
	tmpdirs  []string // prefixes of instances with random names
	set      func()   // fills the fresh directories
	seen     string   // what pam_namespace's sessions saw
	refused  bool     // pam_namespace refused one
}

// compare opens the sessions by pam_namespace and by us, and fails the story where
// they differ.
func (w *world) compare(what string) {
	h := w.h
	h.T.Helper()
	h.WriteFile(peerConf, w.conf)
	h.WriteFile("/etc/pam.d/pamhost", strings.Join(host.Stack(peerSession+" "+w.args), "\n")+"\n")
	peer, refused := w.sessions(func() {})
	// pam_namespace denies root as well
	text := strings.Replace(converted(h), `rescue = ["root"]`, "rescue = []", 1)
	h.Config(text)
	h.WriteFile("/etc/pam.d/pamhost", h.MustRun("polyinst", "convert", "/etc/pam.d/pamhost")+"\n")
	ours, _ := w.sessions(func() { h.Cmd("polyinst", "prepare") })
	w.seen, w.refused = peer, refused
	if refused {
		// what a refused session leaves behind, and others then see, is each
		// module's own affair
		peer, ours = onlyOpened(peer), onlyOpened(ours)
	}
	if peer != ours {
		h.T.Errorf("%s\nargs %s\n%s\npam_namespace:\n%s\nOurs:\n%s", what, w.args, w.conf, difference(peer, ours), difference(ours, peer))
	}
}

// sessions opens two sessions of each user and describes what they saw and made.
func (w *world) sessions(prepare func()) (seen string, refused bool) {
	w.h.T.Helper()
	for _, dir := range w.fresh {
		w.h.MustRun("mount", "-t", "tmpfs", "-o", "mode=755,size=64M", "fresh", dir)
	}
	w.set()
	prepare()
	var b strings.Builder
	for _, user := range append(w.users, w.users...) {
		tr := w.h.PamHost("user="+user, "umask:022", "start", "acct", "open", "root-exec:"+w.look(user), "close", "end")
		rc := tr.Step("open").RC
		fmt.Fprintf(&b, "%s: opened %v\n", user, rc == host.PAMSuccess)
		if rc != host.PAMSuccess {
			refused = true
			continue
		}
		for line := range strings.Lines(tr.Step("root-exec").Text) {
			if line = w.normal(strings.TrimSpace(line)); !strings.Contains(b.String(), "\n"+line+"\n") {
				b.WriteString(line + "\n")
			}
		}
	}
	for _, dir := range w.fresh {
		w.h.MustRun("umount", "-l", dir)
	}
	return b.String(), refused
}

// look is what a session does: it leaves a mark in each polydir, describes it,
// and lists what is where in the host's view.
func (w *world) look(user string) string {
	return fmt.Sprintf(`USER=%s; HOME=$(getent passwd "$USER" | cut -d: -f6)
umask 022
for d in "%s"; do
	[ -d "$d" ] || { echo "view $USER $d absent"; continue; }
	touch "$d/mark-$USER"
	echo "view $USER $d $(stat -c '%%U:%%G %%a' "$d") $(stat -f -c '%%T %%b*%%S' "$d")"
done
nsenter -m -t 1 find %s -mindepth 1 -name .lock -prune -o -printf 'tree %%p %%U:%%G %%m %%y\n' | sort`,
		user, strings.Join(w.polydirs, `" "`), strings.Join(w.fresh, " "))
}

// normal gives the instances of tmpdir lines one name.
func (w *world) normal(line string) string {
	for _, prefix := range w.tmpdirs {
		line = regexp.MustCompile(`^(tree `+regexp.QuoteMeta(prefix)+`)[^/ ]+`).ReplaceAllString(line, "${1}*")
	}
	return line
}

func onlyOpened(seen string) string {
	var b strings.Builder
	for line := range strings.Lines(seen) {
		if strings.Contains(line, ": opened ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// difference are the lines of a that are not in b.
func difference(a, b string) string {
	other := strings.Split(b, "\n")
	var only []string
	for _, line := range strings.Split(a, "\n") {
		if !slices.Contains(other, line) {
			only = append(only, line)
		}
	}
	return strings.Join(only, "\n")
}

// Generated configurations give the same directories, with the same owners and
// modes, to the same users, and refuse the same sessions. `make seeds` takes more.
func TestConvertedLikeThePeer(t *testing.T) {
	const groups = 4
	each := 6 // half as many lack options of mntopts
	if n, err := strconv.Atoi(os.Getenv("POLYINST_TEST_SEEDS")); err == nil {
		each = max(1, n/groups)
	}
	for g := range groups {
		t.Run(fmt.Sprintf("seeds %d to %d", g*each, g*each+each-1), func(t *testing.T) {
			t.Parallel()
			host.Run(t, func(h *host.Host) {
				needPeer(h)
				h.Install()
				h.MustRun("rm", "-f", peerInit)
				users := addPeerUsers(h)
				refused := 0
				for seed := g * each; seed < (g+1)*each; seed++ {
					p := generate(rand.New(rand.NewSource(int64(seed))), users)
					w := p.world(h)
					if w.compare(fmt.Sprintf("seed %d", seed)); w.refused {
						refused++
					}
				}
				if refused > each/2 {
					t.Errorf("pam_namespace refused sessions of %d configurations: too few are compared as a whole", refused)
				}
			})
		})
	}
}

// addPeerUsers makes the accounts of generated sessions: two, one that shares a
// uid, one with a name that is cut.
func addPeerUsers(h *host.Host) []string {
	alice := h.AddUser("alice", host.User{Home: "/home/a"})
	h.AddUser("twin", host.User{UID: alice.UID, GID: alice.GID, Home: "/home/a"})
	h.AddUser("bob")
	long := strings.Repeat("l", 60) + strings.Repeat("o", 30)
	h.AddUser(long)
	h.WriteFile(peerDropins+"/mark.init", "#!/bin/sh\necho \"$1 $2 $3 $4\" | sed 's/[^ /]*$//' >>/srv/init-ran\n", 0o755)
	return []string{"root", "alice", "twin", "bob", long}
}

// peerFile is a generated configuration of pam_namespace's and what it speaks of.
type peerFile struct {
	r     *rand.Rand
	users []string
	lines []string
	args  []string
	w     world
	dirs  []string // commands that make polydirs and parents
}

func generate(r *rand.Rand, users []string) *peerFile {
	p := &peerFile{r: r, users: users}
	p.args = []string{p.maybe("gen_hash"), p.maybe("ignore_instance_parent_mode"), p.maybe("debug"), p.maybe("mount_private")}
	for i := range 1 + r.Intn(3) {
		p.line(i)
	}
	return p
}

func (p *peerFile) pick(list ...string) string { return list[p.r.Intn(len(list))] }

// maybe is the word in one of four cases.
func (p *peerFile) maybe(word string) string { return p.pick(word, "", "", "") }

func (p *peerFile) make(command string, args ...any) {
	p.dirs = append(p.dirs, fmt.Sprintf(command, args...))
}

// line adds a line with a polydir and an instance parent of its own.
func (p *peerFile) line(i int) {
	method := p.pick("user", "user", "tmpdir", "tmpfs", "level", "context")
	path := fmt.Sprintf("/srv/p%d", i)
	if p.r.Intn(4) == 0 {
		path = fmt.Sprintf("/srv/$USER/p%d", i)
	}
	parent := fmt.Sprintf("/srv/i%d", i)
	prefix := parent + p.pick("/", "/", "/pre-", "/$USER-", "/./")
	p.make("install -d -m %s %s", p.pick(append(slices.Repeat([]string{"0"}, 11), "0755")...), parent)
	flags := p.flags(method)
	p.polydir(path, method, strings.Contains(flags, "create"))
	p.w.polydirs = append(p.w.polydirs, path)
	if method == "tmpdir" {
		p.w.tmpdirs = append(p.w.tmpdirs, strings.NewReplacer("/./", "/", "$USER-", "").Replace(prefix))
	}
	if method == "tmpfs" {
		prefix = p.pick(prefix, "none")
	}
	p.lines = append(p.lines, strings.Join([]string{
		p.pick(path, path+"/", `"`+path+`"`, strings.Replace(path, "v/", `v\/`, 1)), prefix, method + flags, p.list(),
	}, p.pick(" ", "\t", "  "))+p.pick("", "", " # comment", "#comment"))
}

func (p *peerFile) flags(method string) string {
	flags := p.pick(":noinit", "", "", ":iscript=mark.init", ":iscript="+peerDropins+"/mark.init", ":iscript=absent")
	switch kind := p.r.Intn(4); {
	case method == "tmpfs" && kind < 2:
		flags += p.pick(":create=01777,root,root", ":create=0700,root")
	case kind == 0:
		flags += p.pick(":create", ":create=0750", ":create=1777", ":create=0x1c0", ":create=", ":create=x", ":create=-1")
	case kind == 1:
		flags += p.pick(":create=01777,root", ":create=0700,bob,root", ":create=,bob", ":create=0770,,bob")
	}
	if method == "tmpfs" {
		flags += p.pick("", ":mntopts=size=1M", ":mntopts=size=01000000,nosuid", ":mntopts=mode=0700,nr_inodes=1k", ":mntopts=noexec,size=10%")
	}
	return flags
}

// polydir makes the polydir, or, where the line creates it or one in twenty,
// leaves it out. A world-writable one of root's is sticky: without that bit an
// existing instance is refused by us. A polydir below a tmpfs is root's, as the
// peer's tmpfs is; ours has the owner of the polydir, as convert remarks.
func (p *peerFile) polydir(path, method string, created bool) {
	paths := []string{path}
	if strings.Contains(path, "$USER") {
		paths = nil
		for _, u := range p.users {
			p.make("install -d /srv/%s", u)
			paths = append(paths, strings.Replace(path, "$USER", u, 1))
		}
	}
	if created && p.r.Intn(3) > 0 || p.r.Intn(20) == 0 {
		return
	}
	mode, owner := p.pick("1777", "0755", "0700", "2775", "0711"), p.pick("root", "root", "alice", "bob")
	if method == "tmpfs" {
		owner = "root"
	}
	for _, path := range paths {
		p.make("install -d -m %s -o %s -g %s %s", mode, owner, owner, path)
	}
}

func (p *peerFile) list() string {
	long := p.users[len(p.users)-1]
	return p.pick("", "root", "root", "root,alice", "root,nosuchuser,@root,0", "~alice", "~alice,bob", "~bob,root", "root,"+long,
		"~nosuchuser,"+long, "bob,,root", "root bob")
}

func (p *peerFile) world(h *host.Host) *world {
	w := p.w
	w.h, w.users, w.fresh = h, p.users, []string{"/srv"}
	w.conf = strings.Join(p.lines, "\n") + "\n"
	w.args = strings.Join(strings.Fields(strings.Join(p.args, " ")), " ")
	w.set = func() { h.Sh(strings.Join(p.dirs, "\n")) }
	return &w
}

// scanners is the configuration that hardening scanners write.
const scanners = `/tmp     /tmp/tmp-inst/       level      root,adm
/var/tmp /var/tmp/tmp-inst/   level      root,adm
$HOME    $HOME/$USER.inst/     level
`

// The configuration that hardening scanners write has its parents where no login
// can have them: with --parents the whole way from pam_namespace's sessions to ours
// can be gone, and the users find their files.
func TestConvertParents(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		needPeer(h)
		h.Install()
		h.MustRun("rm", "-f", peerInit)
		h.AddUser("alice")
		h.AddUser("bob")
		h.AddUser("adm")
		h.WriteFile(peerConf, scanners)
		for _, dir := range []string{"/tmp/tmp-inst", "/var/tmp/tmp-inst", "/home/alice/alice.inst", "/home/bob/bob.inst"} {
			h.Mkdir(dir, 0, 0, 0)
		}
		h.PAM("su", host.Stack(peerSession+" ignore_config_error")...)
		for _, u := range []string{"alice", "bob"} {
			h.MustRun("su", u, "-c", "echo "+u+" | tee /tmp/mine /var/tmp/mine ~/mine")
		}
		// what bob puts in the way of the move harms nobody
		h.MustRun("sh", "-c", "mv /home/bob/bob.inst /home/bob/kept; mkdir -m 0 /srv/precious; touch /srv/precious/file; ln -s /srv/precious /home/bob/bob.inst")

		r := h.Cmd("polyinst", "convert", "--parents", host.Parents)
		h.Config(r.Stdout)
		host.Equal(h, "exit status", r.Code, 0)
		h.Match("check", h.Cmd("polyinst", "check").Stderr, "instance parent .* does not exist: `polyinst prepare` makes it")
		h.MustRun("polyinst", "prepare")
		host.Equal(h, "when all is prepared", h.Cmd("polyinst", "check").Stderr, "")
		moved := regexp.MustCompile(`mode 0000: (.*\))(; done)?\n`).FindAllStringSubmatch(r.Stderr, -1)
		host.Equal(h, "commands", len(moved), 3)
		for _, m := range moved {
			h.Cmd("sh", "-c", m[1]+m[2])
		}
		host.Equal(h, "what a link of bob's led to", fmt.Sprint(h.Names("/srv/precious")), "[file]")
		host.Equal(h, "what is in the parents", h.Sh("cd "+host.Parents+"; ls tmp var-tmp home | xargs"), "home: alice tmp: alice bob var-tmp: alice bob")

		h.WriteFile("/etc/pam.d/su", h.MustRun("polyinst", "convert", "/etc/pam.d/su")+"\n")
		host.Equal(h, "alice's files", h.MustRun("su", "alice", "-c", "cat /tmp/mine /var/tmp/mine ~/mine"), "alice\nalice\nalice")
		host.Equal(h, "bob's files", h.MustRun("su", "bob", "-c", "cat /tmp/mine /var/tmp/mine"), "bob\nbob")
		if log := h.ModuleLog(); len(log) == 0 {
			t.Error("the sessions were not ours")
		}
		for _, dir := range []string{"relative", "/a/", "/a/$USER", "/a/../b"} {
			host.Equal(h, dir, h.Cmd("polyinst", "convert", "--parents", dir).Code, 2)
		}
	})
}

// typed are the commands of the indented blocks of a page below a heading, as a reader
// types them: without the prompt, and without what is said of them behind.
func typed(h *host.Host, page, heading string) []string {
	h.T.Helper()
	text := kit.Between(h.ReadFile(h.Source(page))+"\n", "\n## "+heading+"\n", "\n## ")
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^    (?:# )?(.*?)(?: {2,}\S.*)?$`).FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	if len(out) == 0 {
		h.T.Fatalf("%s: no commands below %q", page, heading)
	}
	return out
}

// From a machine with pam_namespace to ours by the commands of the README, and back:
// alice finds her files each time, and the PAM files are the old ones in the end.
func TestMigrationAsWritten(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		needPeer(h)
		h.Install()
		h.MustRun("rm", "-rf", peerDropins)
		h.Config(asInstalled(h))
		h.AddUser("alice")
		h.WriteFile(peerConf, "/tmp /srv/tmp-inst/ user:noinit root\n/var/tmp /srv/var-inst/ user:noinit root,~bob\n", 0o644)
		h.Mkdir("/srv/tmp-inst", 0, 0, 0)
		h.Mkdir("/srv/var-inst", 0, 0, 0)
		h.PAM("sshd", host.Stack("session  optional  pam_keyinit.so", peerSession+" unmnt_remnt")...)
		s := h.Sshd()
		seen := func(what string) {
			t.Helper()
			host.Equal(h, what, s.SSH("alice", "echo x >>/tmp/log; cat /tmp/mine /var/tmp/mine").Out(), "hers\nhers too")
			host.Equal(h, what+": the public /tmp", h.Exists("/tmp/mine"), false)
		}
		host.Equal(h, "pam_namespace", s.SSH("alice", "echo hers >/tmp/mine; echo hers too >/var/tmp/mine").Code, 0)
		seen("pam_namespace")
		const all = "cd /etc/pam.d && stat -c '%n %U:%G %a' * && sha256sum *"
		stacks := h.Sh(all)

		commands := typed(h, "README.md", "Coming from pam_namespace")
		host.Equal(h, "commands", len(commands), 5)
		for _, c := range commands {
			h.MustRun("sh", "-c", c)
			if strings.Contains(c, "enable") {
				host.Equal(h, "ours", strings.Contains(h.ReadFile("/etc/pam.d/sshd"), "pam_polyinst.so unmnt_remnt") &&
					!strings.Contains(h.ReadFile("/etc/pam.d/sshd"), "pam_namespace"), true)
				seen("enabled")
			}
		}
		seen("confirmed")
		h.Match("by our module", fmt.Sprint(h.ModuleLog()), `session opened for "alice"`)
		h.MustRun("polyinst", "check", "--pam")

		for _, c := range typed(h, "docs/migration.md", "Back") {
			h.MustRun("sh", "-c", c)
		}
		host.Equal(h, "the stacks", h.Sh(all), stacks)
		seen("back")
		host.Equal(h, "pam_namespace's configuration", h.Exists(peerConf), true)
		host.Equal(h, "lines", h.MustRun("sh", "-c", "grep -c x /srv/tmp-inst/alice/log"), "4")
	})
}
