package attackers

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// siege is a scenario: users without privileges attack, by tests/attacker, while
// sessions are opened. What nobody may get or lose is a breach.
type siege struct {
	name   string
	config string
	// exposed: the attacker is the session's own user, or holds something that
	// the session needs; a refusal is then what they asked for. Elsewhere it is a
	// breach: they have denied others their sessions.
	exposed bool
	// leads: they can lead the polydir's path where they like, in their own session
	// too (decision 8); what counts is what happens to root's things.
	leads   bool
	prepare func(h *host.Host, f *field)
	crews   []crew
	victims []victim
	beside  func(h *host.Host, f *field) // what root does meanwhile, once per round
}

// crew are the moves of one attacker. In a session of their own, if it says so.
type crew struct {
	user    string
	session bool
	moves   []string
}

// victim is a kind of session.
type victim struct {
	user  string
	path  string   // the polydir
	steps []string // before "open"
	more  []string // after it, each of which is judged
	judge func(h *host.Host, f *field, s map[string]host.Step) string
}

// field is what is known during a siege.
type field struct {
	users     map[string]host.User
	forbidden map[string]string       // directories that no session may see, by identity
	moved     map[string]int          // root's, that the attacker can move: by handle
	delegated map[string]*host.Cgroup // to attackers, who start in them
	mu        sync.Mutex
	breaches  []string
	opened    int
	refused   int
}

func (f *field) breach(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.breaches) < 1000 {
		f.breaches = append(f.breaches, fmt.Sprintf(format, args...))
	}
}

// forbid notes directories that no session may see at a polydir.
func (f *field) forbid(h *host.Host, paths ...string) {
	for _, p := range paths {
		f.forbidden[h.FileID(p)] = p
	}
}

// hold notes a directory of root's with a file in it that the attacker can move.
func (f *field) hold(h *host.Host, path string) {
	h.T.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		h.T.Fatal(err)
	}
	f.moved[path] = fd
}

const (
	reachable = "reach:/var/lib/polyinst/tmp/bob,/var/lib/polyinst/tmp/alice,/var/lib/polyinst/tmp/.lock,/var/lib/polyinst/tmp/.lock/bob,/run/polyinst,/run/polyinst/mnt.1,/srv/roots/private"
	planted   = "plant:/tmp,/srv/roots,alice,bob,.lock,.new.bob,.tmpdir.x,polyinst"
	secret    = "secret-of-bob"
)

// seesOwn is the judgement of method user below the usual parent.
func seesOwn(h *host.Host, _ *field, s map[string]host.Step) string {
	place, _, _ := strings.Cut(s["look"].Text, " ")
	user := s["names"].Style // set by the runner
	var st unix.Stat_t
	if err := unix.Stat(kit.Instance(user), &st); err != nil {
		return fmt.Sprintf("%s has no instance: %v", user, err)
	}
	if want := fmt.Sprintf("%d:%d", st.Dev, st.Ino); place != want {
		return fmt.Sprintf("%s saw %q, their instance is %s", user, place, want)
	}
	for name := range strings.Lines(s["names"].Text) {
		if name = strings.TrimSpace(name); user != "bob" || name != secret {
			return fmt.Sprintf("%s saw the name %q", user, name)
		}
	}
	return ""
}

// seesNothing is the judgement of a fresh instance.
func seesNothing(_ *host.Host, _ *field, s map[string]host.Step) string {
	if names := s["names"].Text; names != "" {
		return fmt.Sprintf("a fresh instance held %q", names)
	}
	return ""
}

// standsInAlices is a session that is opened in one of alice's, by a process whose
// directory there she flips with a link. Its name is true in the new view, or it
// is nowhere; no way leads from it into her view.
func standsInAlices(user string) victim {
	at := "exec:echo \"at=$(/bin/pwd) up=$(stat -c %d:%i ../../../../../tmp 2>/dev/null)\""
	return victim{user: "alice", path: "/tmp",
		more: []string{"root-exec:until cd /tmp/w/a/sub || cd /tmp/w/link/sub; do :; done 2>/dev/null; PAMHOST user=" + user + " start open must '" + at + "' close end"},
		judge: func(h *host.Host, f *field, s map[string]host.Step) string {
			if _, names := s["names"]; !names {
				return "no session of alice's"
			}
			inner := s["root-exec"].Text
			alices := user == "root" && strings.Contains(inner, "at="+kit.Instance("alice")+"/w/")
			if !alices && !strings.Contains(inner, "at="+kit.Nowhere+" ") {
				return fmt.Sprintf("%s stands elsewhere: %s", user, inner)
			}
			if strings.Contains(inner, "up="+h.FileID(kit.Instance("alice"))) {
				return fmt.Sprintf("%s has a way into alice's view: %s", user, inner)
			}
			return ""
		}}
}

var sieges = []siege{
	{
		name: "public directory", config: kit.OwnTmp,
		crews: []crew{
			{user: "mallory", moves: []string{planted, "crowd:/tmp", reachable, "spy:" + secret}},
			{user: "alice", moves: []string{planted, reachable, "chmod:/tmp,/var/lib/polyinst/tmp", "attr:/tmp,/srv/roots"}},
		},
		victims: []victim{{user: "alice", path: "/tmp", judge: seesOwn}, {user: "bob", path: "/tmp", judge: seesOwn}},
	},
	{
		name: "instance that is removed", config: kit.Tmpdir,
		crews: []crew{
			{user: "alice", moves: []string{"burrow:/srv/roots", planted}},
			{user: "mallory", moves: []string{planted, "spy:" + secret}},
		},
		victims: []victim{
			{user: "alice", path: "/tmp", more: []string{"exec:sleep 0.02"}, judge: seesNothing},
			{user: "bob", path: "/tmp", more: []string{"put:/tmp/" + secret}, judge: seesNothing},
		},
		beside: func(h *host.Host, f *field) {
			if out, err := exec.Command("polyinst", "gc").CombinedOutput(); err != nil {
				f.breach("gc: %v: %s", err, out)
			}
		},
	},
	{
		name: "polydir in $HOME, made", config: kit.CreateInHome, exposed: true, leads: true,
		prepare: func(h *host.Host, f *field) {
			h.Mkdir("/home/alice/d", 0o755, f.users["alice"].UID, f.users["alice"].UID)
			h.Mkdir("/home/alice/e", 0o755, f.users["alice"].UID, f.users["alice"].UID)
			h.Mkdir("/home/alice/roots", 0o700, 0, 0) // one of root's that she can move
			h.WriteFile("/home/alice/roots/file", "root's", 0o600)
			h.MustRun("ln", "-s", "/srv/roots", "/home/alice/link")
			f.forbid(h, "/home/alice/roots")
			f.hold(h, "/home/alice/roots")
		},
		crews: []crew{{user: "alice", moves: []string{
			"swap:/home/alice/d/a,/home/alice/link", "swap:/home/alice/d/a,/home/alice/roots",
			"churn:/home/alice/d/a,/srv/roots", "swap:/home/alice/d,/home/alice/e", "chmod:/home/alice/e,/home/alice/d/a", "attr:/home/alice,/home/alice/d,/home/alice/d/a",
			"mend:/home/alice/d/a", "mend:/home/alice/d/a"}}},
		victims: []victim{{user: "alice", path: "/home/alice/d/a"}},
	},
	{
		name: "polydir in $HOME, swapped", config: strings.ReplaceAll(kit.OwnTmp, `"/tmp"`, `"$HOME/a"`), exposed: true,
		prepare: func(h *host.Host, f *field) {
			for _, d := range []string{"a", "b", "c"} {
				h.Mkdir("/home/alice/"+d, 0o755, f.users["alice"].UID, f.users["alice"].UID)
			}
		},
		crews: []crew{{user: "alice", moves: []string{"swap:/home/alice/a,/home/alice/b", "swap:/home/alice/a,/home/alice/c", "attr:/home/alice,/home/alice/a"}}},
		// outside of the session the three are hers to swap; in it the one that
		// was covered stays covered
		victims: []victim{{user: "alice", path: "/home/alice/a", judge: func(h *host.Host, f *field, s map[string]host.Step) string {
			return ""
		}}},
	},
	{
		name: "filesystem that lies", config: kit.CreateInHome, exposed: true, leads: true,
		prepare: func(h *host.Host, f *field) {
			kit.UsersMayMount(h)
			h.Mkdir("/home/alice/d", 0o755, f.users["alice"].UID, f.users["alice"].UID)
			h.Mkdir("/home/alice/roots", 0o700, 0, 0) // one of root's that she can move
			h.WriteFile("/home/alice/roots/file", "root's", 0o600)
			f.hold(h, "/home/alice/roots")
		},
		crews: []crew{{user: "alice", moves: []string{
			"fuse:LIAR,/home/alice,lie,l:d:0:/srv/roots", "fuse:LIAR,/home/alice,lie,d:d:0:755,l:d/a:0:/srv/roots/private",
			"fuse:LIAR,/home/alice/d,lie,d:a:0:0", "swap:/home/alice/d/a,/home/alice/roots", "mend:/home/alice/d/a"}}},
		victims: []victim{{user: "alice", path: "/home/alice/d/a"}},
	},
	{
		name: "filesystem that hangs", config: kit.OwnTmp + "keep = [\".X11-unix\"]\n",
		prepare: func(h *host.Host, f *field) {
			h.Mkdir("/home/alice/mnt", 0o755, f.users["alice"].UID, f.users["alice"].UID)
			h.Sh("chmod 755 /home/alice")
			p := kit.Lies(h, f.users["alice"], "/home/alice/mnt")
			h.Sh("cd /home/alice/mnt") // the kernel asks that once
			p.Signal(syscall.SIGUSR1)
		},
		crews: []crew{{user: "alice", moves: []string{
			"fuse:LIAR,/tmp/.X11-unix,hang", "fuse:LIAR,/tmp/.X11-unix,lie,d:/:0:1777,d:planted:0:755"}}},
		victims: []victim{
			{user: "bob", path: "/tmp", judge: seesOwn},
			{user: "bob", path: "/tmp", steps: []string{"cwd:/home/alice/mnt"}, judge: seesOwn},
		},
	},
	{
		name: "squatter", exposed: true, leads: true,
		config: strings.ReplaceAll(kit.OwnTmp, `"/tmp"`, `"/scratch/$USER"`) + "create = { mode = \"0700\" }\n",
		prepare: func(h *host.Host, f *field) {
			kit.UsersMayMount(h)
			h.Mkdir("/scratch", 0o1777, 0, 0)
		},
		crews: []crew{{user: "alice", moves: []string{
			"churn:/scratch/bob,/srv/roots", "mend:/scratch/bob", "fuse:LIAR,/scratch/bob,lie,d:/:0:0", "fuse:LIAR,/scratch/bob,hang"}}},
		victims: []victim{{user: "bob", path: "/scratch/bob"}},
		// root makes room for the next one
		beside: func(*host.Host, *field) { _ = os.Remove("/scratch/bob") },
	},
	{
		name: "instance parent in $HOME", config: kit.ParentInHome, exposed: true,
		prepare: func(h *host.Host, f *field) {
			uid := f.users["alice"].UID
			for _, d := range []string{"box", ".mine", ".mine/alice", ".mine/.lock", ".mine/.lock/alice"} {
				h.Mkdir("/home/alice/"+d, 0o700, uid, uid)
			}
			h.Mkdir("/home/alice/.root", 0, 0, 0) // as from another session, which she moved there
			f.forbid(h, "/home/alice/.mine/alice", "/home/alice/.mine", "/home/alice/.root")
		},
		crews: []crew{{user: "alice", moves: []string{
			"swap:/home/alice/.inst,/home/alice/.mine", "swap:/home/alice/.inst,/home/alice/.root",
			"churn:/home/alice/.inst,/srv/roots", "chmod:/home/alice/.mine,/home/alice/box", "attr:/home/alice,/home/alice/.mine,/home/alice/box", "mend:/home/alice/.inst", "mend:/home/alice/.inst"}}},
		victims: []victim{{user: "alice", path: "/home/alice/box", judge: func(h *host.Host, f *field, s map[string]host.Step) string {
			fields := strings.Fields(s["look"].Text)
			if len(fields) < 2 || fields[1] != fmt.Sprint(f.users["alice"].UID) {
				return fmt.Sprintf("an instance that is not alice's: %v", fields)
			}
			return ""
		}}},
	},
	{
		name: "working directory", config: kit.Nested("replace"),
		prepare: func(h *host.Host, f *field) {
			uid := f.users["alice"].UID
			for _, d := range []string{"/tmp/work", "/tmp/work/a", "/tmp/work/b"} {
				h.Mkdir(d, 0o777, uid, uid)
			}
			f.forbid(h, "/tmp/work", "/tmp/work/a", "/tmp/work/b")
			// a directory and a link that she flips in her own view, and of which root takes the first
			h.PamHost("user=alice", "start", "open", "exec:umask 0; mkdir -p /tmp/w/a/sub; ln -s /srv/roots /tmp/w/link", "close", "end").RC("open", 0)
		},
		crews: []crew{
			{user: "alice", moves: []string{"swap:/tmp/work/a,/tmp/work/b", "chmod:/tmp/work/b", "attr:/tmp/work,/tmp/work/a"}},
			{user: "alice", session: true, moves: []string{"swap:/tmp/w/a,/tmp/w/link"}},
		},
		victims: []victim{
			{user: "bob", path: "/tmp", steps: []string{"cwd:/tmp/work/a"}, more: []string{"look:."},
				judge: func(h *host.Host, f *field, s map[string]host.Step) string {
					place, _, _ := strings.Cut(s["look:."].Text, " ")
					if place != h.FileID(kit.Nowhere) {
						return fmt.Sprintf("bob stands in %s", place)
					}
					return seesOwn(h, f, s)
				}},
			standsInAlices("root"), standsInAlices("bob"),
		},
	},
	{
		name: "namespaces and process ids", config: kit.Nested("replace"),
		prepare: func(h *host.Host, f *field) {
			reusePIDs(h)
		},
		crews: []crew{
			{user: "alice", session: true, moves: []string{"userns:PUBLIC", "hop", "pids", "spy:" + secret, reachable}},
			{user: "alice", moves: []string{"hop", "pids", "spy:" + secret}},
		},
		victims: []victim{{user: "bob", path: "/tmp", judge: seesOwn},
			{user: "alice", path: "/tmp", more: []string{"root-exec:PAMHOST user=bob start open must look:/tmp close end"},
				judge: func(h *host.Host, f *field, s map[string]host.Step) string {
					if inner := s["root-exec"].Text; !strings.Contains(inner, `"`+h.FileID(kit.Instance("bob"))+" ") {
						return "bob's session in alice's: " + inner
					}
					return seesOwn(h, f, s)
				}}},
		beside: enterAndList,
	},
	{
		// an overlay whose changes are thrown away, and whose mounts reach below
		name: "an overlay", config: "[namespace]\npropagation = \"slave+shared\"\n" + kit.Tmpdir + kit.TmpfsLab,
		prepare: func(h *host.Host, f *field) {
			h.Mkdir(kit.Lab, 0o1777, 0, 0)
			h.WriteFile(kit.Lab+"/file", "as it was", 0o444)
			f.forbid(h, kit.Lab)
			f.hold(h, kit.Lab)
		},
		crews: []crew{
			{user: "alice", session: true, moves: []string{"forge:" + kit.Lab + ",/srv/roots", "unveil:" + kit.Lab + ",LAB", "unveil:/tmp,PUBLIC", "hop", "attr:" + kit.Lab, "crowd:" + kit.Lab,
				"chmod:" + kit.Lab + ",/run/polyinst", "reach:/var/lib/polyinst/tmp/.lock,/run/polyinst"}},
			{user: "mallory", moves: []string{planted, "hop", "pids"}},
		},
		victims: []victim{
			{user: "bob", path: kit.Lab, more: []string{"exec:cat " + kit.Lab + "/file; echo bobs >" + kit.Lab + "/mine; cat " + kit.Lab + "/mine"},
				judge: func(_ *host.Host, _ *field, s map[string]host.Step) string {
					if names, text := strings.TrimSpace(s["names"].Text), strings.TrimSpace(s["exec"].Text); names != "file" || text != "as it wasbobs" {
						return fmt.Sprintf("bob sees %q, and %q", names, text)
					}
					return ""
				}},
			{user: "bob", path: "/tmp", judge: seesNothing},
		},
		beside: func(h *host.Host, f *field) {
			if out, err := exec.Command("sh", "-c", "polyinst gc && polyinst list").CombinedOutput(); err != nil {
				f.breach("gc or list: %v: %s", err, out)
			}
		},
	},
	{
		// what covers a path that is no instance, in a user namespace of the user's
		// own, while others' sessions are opened by the same shared source
		name: "what is no instance", config: kit.Tmpdir + kit.ShownConf + kit.OwnProc,
		prepare: func(h *host.Host, f *field) {
			kit.MakeShown(h)
			h.Mkdir("/srv/secret", 0o755, 0, 0)
			h.WriteFile("/srv/secret/file", "unveiled", 0o644)
			f.forbid(h, "/srv/secret", "/srv/other")
		},
		crews: []crew{
			{user: "alice", session: true, moves: []string{"unveil:/srv/secret,SECRET,unveiled", "unveil:/srv/secret.conf,HIDDEN,s", "unveil:/srv/shown,NONE",
				"unveil:/srv/shown.conf,NONE", "unveil:/srv/other,OTHER", "unveil:/proc,PROC,INIT", "unveil:/srv/other.conf,NONE,public", "hop",
				"chmod:/srv/secret,/srv/other,/run/polyinst/nothing", "attr:/srv/secret,/srv/other", "reach:/run/polyinst/nothing,/srv/secret"}},
			{user: "mallory", moves: []string{planted, "hop", "pids"}},
		},
		victims: []victim{
			{user: "bob", path: "/tmp", more: []string{"exec:ls /srv/other; cat /srv/other.conf /srv/secret/file 2>/dev/null; ls -d /proc/1 2>/dev/null"},
				judge: func(h *host.Host, f *field, s map[string]host.Step) string {
					if text := strings.TrimSpace(s["exec"].Text); text != "b\nmine" {
						return fmt.Sprintf("bob sees %q", text)
					}
					return seesNothing(h, f, s)
				}},
		},
		beside: func(h *host.Host, f *field) {
			if out, err := exec.Command("sh", "-c", "polyinst gc && polyinst list").CombinedOutput(); err != nil {
				f.breach("gc or list: %v: %s", err, out)
			}
		},
	},
	{
		name: "source and home, swapped", exposed: true,
		config: "[[polydir]]\npath = \"/srv/at\"\nmethod = \"bind\"\nsource = \"$HOME/own\"\nexcept = [\"root\"]\n" +
			"[[polydir]]\npath = \"/pub\"\nmethod = \"tmpfs\"\nkeep = [\"$USER\"]\nexcept = [\"root\"]\n",
		prepare: func(h *host.Host, f *field) {
			h.Mkdir("/srv/at", 0o755, 0, 0)
			h.Mkdir("/pub", 0o1777, 0, 0)
			uid := f.users["alice"].UID
			for _, d := range []string{"/home/alice/own", "/home/alice/b", "/pub/alice"} {
				h.Mkdir(d, 0o755, uid, uid)
			}
			h.Mkdir("/home/alice/roots", 0o700, 0, 0) // one of root's that she can move
			h.WriteFile("/home/alice/roots/file", "root's", 0o600)
			h.MustRun("ln", "-s", "/srv/roots", "/home/alice/link")
			f.forbid(h, "/home/alice/roots")
			f.hold(h, "/home/alice/roots")
		},
		crews: []crew{
			{user: "alice", moves: []string{"swap:/home/alice/own,/home/alice/b", "swap:/home/alice/own,/home/alice/roots", "swap:/home/alice/own,/home/alice/link",
				"churn:/pub/alice,/srv/roots", "mend:/pub/alice"}},
			{user: "mallory", moves: []string{"churn:/pub/alice,/srv/roots", "mend:/pub/alice", "plant:/pub,/srv/roots,alice,bob"}},
		},
		victims: []victim{{user: "alice", path: "/srv/at"}, {user: "alice", path: "/pub/alice"}},
	},
	{
		// processes that are never where one looks, mounts without an end, and names that
		// look like others' tmpdirs
		name: "comets and mounts", config: kit.Tmpdir,
		prepare: func(h *host.Host, f *field) {
			for _, user := range []string{"alice", "mallory"} {
				h.Mkdir("/home/"+user+"/deep", 0o755, f.users[user].UID, f.users[user].UID)
			}
		},
		crews: []crew{
			{user: "alice", session: true, moves: []string{"comet:COMET,/home/alice"}},
			{user: "alice", moves: []string{"bomb:/home/alice/deep,300", "likely:/home/alice"}},
			{user: "mallory", moves: []string{"bomb:/home/mallory/deep,300", "likely:/home/mallory", "hop"}},
		},
		victims: []victim{
			{user: "bob", path: "/tmp", more: []string{"put:/tmp/" + secret}, judge: seesNothing},
			{user: "carol", path: "/tmp", judge: seesNothing},
		},
		beside: func(h *host.Host, f *field) {
			out, err := exec.Command("sh", "-c", "ulimit -v 2000000; polyinst gc && polyinst metrics && polyinst list").CombinedOutput()
			if err != nil {
				f.breach("gc, metrics or list: %v: %s", err, out)
			}
		},
	},
	{
		// whatever they hold, others do not wait for it
		name: "setuid hosts, stopped", config: kit.PerUser(kit.Tmpdir),
		prepare: func(h *host.Host, f *field) {
			h.Sh("cp " + h.Built("pamhost") + " /usr/local/sbin/suhost; chmod 4755 /usr/local/sbin/suhost")
		},
		crews: []crew{
			{user: "alice", moves: []string{"stall:/usr/local/sbin/suhost,alice", "stall:/usr/local/sbin/suhost,alice", "stall:/usr/local/sbin/suhost,alice"}},
			{user: "mallory", moves: []string{"stall:/usr/local/sbin/suhost,mallory", "stall:/usr/local/sbin/suhost,mallory"}},
		},
		victims: []victim{{user: "bob", path: "/tmp", judge: seesNothing}, {user: "carol", path: "/tmp", judge: seesNothing}},
		beside: func(h *host.Host, f *field) {
			if out, err := exec.Command("timeout", "20", "sh", "-c", "polyinst gc && polyinst list").CombinedOutput(); err != nil {
				f.breach("gc or list: %v: %s", err, out)
			}
		},
	},
	{
		// the same in cgroups of theirs; alice opens sessions of bob's as well, as by sudo
		name: "setuid hosts, frozen", config: kit.PerUser(kit.Tmpdir),
		prepare: func(h *host.Host, f *field) {
			h.Sh("cp " + h.Built("pamhost") + " /usr/local/sbin/suhost; chmod 4755 /usr/local/sbin/suhost")
		},
		crews: []crew{
			{user: "alice", moves: []string{"freeze:/usr/local/sbin/suhost,alice,CGROUP", "freeze:/usr/local/sbin/suhost,bob,CGROUP", "freeze:/usr/local/sbin/suhost,bob,CGROUP"}},
			{user: "mallory", moves: []string{"freeze:/usr/local/sbin/suhost,mallory,CGROUP", "freeze:/usr/local/sbin/suhost,root,CGROUP"}},
		},
		victims: []victim{{user: "bob", path: "/tmp", judge: seesNothing}, {user: "carol", path: "/tmp", judge: seesNothing}},
		beside: func(h *host.Host, f *field) {
			if out, err := exec.Command("timeout", "20", "sh", "-c", "polyinst gc && polyinst list && polyinst metrics && polyinst prepare").CombinedOutput(); err != nil {
				f.breach("gc or a tool of root's: %v: %s", err, out)
			}
		},
	},
	{
		name: "setuid host, hunted", config: kit.OwnTmp,
		prepare: func(h *host.Host, f *field) {
			h.Sh("cp " + h.Built("pamhost") + " /usr/local/sbin/suhost; chmod 4755 /usr/local/sbin/suhost")
		},
		crews: []crew{
			{user: "alice", moves: []string{"hunt:/usr/local/sbin/suhost,carol,PUBLIC", "hunt:/usr/local/sbin/suhost,carol,PUBLIC", "hunt:/usr/local/sbin/suhost,bob,PUBLIC"}},
		},
		victims: []victim{{user: "bob", path: "/tmp", judge: seesOwn}},
	},
	{
		// alice may become root by a setuid program, and wants it to stand in her view
		name: "root's view, chosen", config: kit.Nested("replace"),
		prepare: func(h *host.Host, f *field) {
			h.Sh("cp " + h.Built("pamhost") + " /usr/local/sbin/suhost; chmod 4755 /usr/local/sbin/suhost")
			h.PamHost("user=alice", "start", "open", "close", "end").RC("open", 0)
		},
		crews: []crew{
			{user: "alice", session: true, moves: []string{"hunt:/usr/local/sbin/suhost,root,OWN", "hunt:/usr/local/sbin/suhost,root,OWN",
				"starve:/usr/local/sbin/suhost,root,OWN", "starve:/usr/local/sbin/suhost,bob,OWN"}},
			{user: "alice", moves: []string{"starve:/usr/local/sbin/suhost,carol,PUBLIC", "hunt:/usr/local/sbin/suhost,carol,PUBLIC"}},
		},
		victims: []victim{{user: "bob", path: "/tmp", judge: seesOwn}},
		beside: func(h *host.Host, f *field) {
			if out, err := exec.Command("polyinst", "gc").CombinedOutput(); err != nil {
				f.breach("gc: %v: %s", err, out)
			}
		},
	},
}

// reusePIDs lets process ids begin again every few seconds. From Linux 6.14 on
// the limit is the pid namespace's own; before, it is the machine's, and is left
// alone.
func reusePIDs(h *host.Host) {
	h.T.Helper()
	var major, minor int
	_, err := fmt.Sscanf(h.ReadFile("/proc/sys/kernel/osrelease"), "%d.%d", &major, &minor)
	if err != nil || major < 6 || major == 6 && minor < 14 {
		h.T.Log("process ids are not reused here: before Linux 6.14 their limit is the machine's")
		return
	}
	h.Sh("echo 1200 > /proc/sys/kernel/pid_max")
}

// enterAndList is the administrator with the command, while a user hops through
// namespaces: they must never come to stand in one of the user's own.
func enterAndList(h *host.Host, f *field) {
	ours, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		f.breach("%v", err)
	}
	_, _ = exec.Command("polyinst", "list").CombinedOutput()
	out, err := exec.Command("polyinst", "enter", "alice", "--", "sh", "-c", "readlink /proc/self/ns/user; stat -c %d:%i /tmp /etc").Output()
	if err != nil {
		return
	}
	if want := ours + "\n" + h.FileID(kit.Instance("alice")) + "\n" + h.FileID("/etc") + "\n"; string(out) != want {
		f.breach("enter led to %q, want %q", out, want)
	}
}

// The number of sessions of each siege: `make attacks` sets thousands.
func sessions(short int) int {
	if n, err := strconv.Atoi(os.Getenv("POLYINST_TEST_ATTACKS")); err == nil {
		return n
	}
	return short
}

const perHost = 10 // sessions that one host process opens, each in a child

// Every siege has no breach: no session sees another directory than its own,
// nothing of root's is changed, nobody's file is read, nobody is kept out by
// others, and nothing is left behind.
func TestAttackers(t *testing.T) {
	for _, s := range sieges {
		t.Run(s.name, func(t *testing.T) {
			n := sessions(20)
			host.Run(t, func(h *host.Host) { s.run(h, n) }, host.Within(2*time.Minute+time.Duration(n)*time.Second))
		})
	}
}

func (s *siege) run(h *host.Host, n int) {
	h.T.Helper()
	kit.Install(h, s.config)
	h.PAM("pamhost", host.Stack(kit.Session)...)
	f := &field{users: map[string]host.User{}, forbidden: map[string]string{}, moved: map[string]int{}, delegated: map[string]*host.Cgroup{}}
	for _, name := range []string{"alice", "bob", "carol", "mallory"} {
		f.users[name] = h.AddUser(name)
	}
	h.Mkdir("/srv/roots", 0o755, 0, 0)
	h.WriteFile("/srv/roots/deep/file", "root's", 0o600)
	h.WriteFile("/srv/roots/file", "root's", 0o600)
	h.Mkdir("/srv/roots/private", 0o700, 0, 0)
	if strings.Contains(s.config, `"user"`) && strings.Contains(s.config, `"/tmp"`) {
		// bob has an instance with a secret in it
		h.PamHost("user=bob", "start", "open", "root-exec:umask 077; echo secret > /tmp/"+secret+"; chown bob /tmp/"+secret, "close", "end").RC("open", 0)
	}
	if s.prepare != nil {
		s.prepare(h, f)
	}
	for _, c := range s.crews {
		if strings.Contains(strings.Join(c.moves, " "), "CGROUP") {
			f.delegated[c.user] = h.Cgroup(f.users[c.user])
		}
	}
	public := "/tmp"
	f.forbid(h, "/tmp", "/srv/roots", "/srv/roots/deep", "/srv/roots/private")
	before, mounts := f.manifest(h), h.ReadFile("/proc/1/mountinfo")

	if s.exposed {
		s.open(h, f, perHost) // she may spoil all that follow
	}
	var attackers []*host.Process
	for _, c := range s.crews {
		attackers = append(attackers, s.attack(h, f, c, h.FileID(public)))
	}
	s.open(h, f, n)
	tried, done := 0, 0
	for _, a := range attackers {
		a.CloseInput()
		t, d := s.outcome(f, a.Wait())
		tried, done = tried+t, done+d
	}

	if after := f.manifest(h); after != before {
		f.breach("what is root's has changed:\nbefore:\n%s\nafter:\n%s", before, after)
	}
	if now := h.ReadFile("/proc/1/mountinfo"); notHers(now) != notHers(mounts) {
		f.breach("the host's mounts have changed:\n%s", now)
	}
	// first, as long as one of them is about to be gone, gc keeps what it opens
	if left := kit.StillRunning("pamhost", "suhost"); len(left) > 0 {
		f.breach("processes left behind: %v\n%s", left, h.Processes())
	}
	if out, err := exec.Command("polyinst", "gc").CombinedOutput(); err != nil && !s.exposed {
		f.breach("gc afterwards: %v: %s", err, out)
	}
	leftBehind := func() (left []string) {
		for _, name := range h.Names(kit.TmpParent) {
			if strings.HasPrefix(name, ".") && name != ".lock" {
				left = append(left, name)
			}
		}
		return left
	}
	for end := time.Now().Add(host.Patience); host.ServesAll() && len(leftBehind()) > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // the ready workers' service is at it
	}
	for _, name := range leftBehind() {
		f.breach("left behind: %s", name)
	}
	if !s.exposed && f.refused > 0 {
		f.breach("%d sessions of others were refused", f.refused)
		for _, l := range h.ModuleLog() {
			if l.Severity <= 3 {
				f.breach("%s", l)
				break
			}
		}
	}
	h.T.Logf("| %-28s | %8s | %8s | %8s | %9s | %9s | %8s |\n| %-28s | %8d | %8d | %8d | %9d | %9d | %8d |", "attack", "sessions", "opened", "refused", "attempts", "succeeded", "breaches",
		s.name, f.opened+f.refused, f.opened, f.refused, tried, done, len(f.breaches))
	for reason, n := range reasons(h) {
		h.T.Logf("refused %d times: %s", n, reason)
	}
	if f.opened == 0 {
		h.T.Error("no session was opened: nothing is shown")
	}
	for _, b := range f.breaches[:min(len(f.breaches), 10)] {
		h.T.Errorf("breach: %s", b)
	}
}

// notHers is a mountinfo without what a user's own FUSE has mounted: where its
// daemon was killed, it stays.
func notHers(mountinfo string) string {
	lines := slices.Collect(strings.Lines(mountinfo))
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, ",user_id=") && !strings.Contains(l, ",user_id=0,") }), "")
}

// attack starts a crew.
func (s *siege) attack(h *host.Host, f *field, c crew, public string) *host.Process {
	h.T.Helper()
	var args []string
	for _, m := range c.moves {
		m = strings.NewReplacer("PUBLIC", public, "LIAR", h.Built("liar")).Replace(m)
		if strings.Contains(m, "OWN") {
			m = strings.ReplaceAll(m, "OWN", h.FileID(kit.Instance(c.user)))
		}
		if g := f.delegated[c.user]; g != nil {
			m = strings.ReplaceAll(m, "CGROUP", g.Dir)
		}
		if strings.Contains(m, "COMET") {
			m = strings.ReplaceAll(m, "COMET", h.Built("comet"))
		}
		for word, path := range map[string]string{"SECRET": "/srv/secret", "HIDDEN": "/srv/secret.conf", "OTHER": "/srv/other", "PROC": "/proc", "LAB": kit.Lab} {
			if strings.HasPrefix(m, "unveil:") && strings.Contains(m, ","+word) {
				m = strings.Replace(m, word, h.FileID(path), 1)
			}
		}
		if strings.Contains(m, "INIT") {
			m = strings.ReplaceAll(m, "INIT", strings.TrimSpace(h.ReadFile("/proc/1/comm")))
		}
		args = append(args, m)
	}
	if !c.session {
		p := h.Command(append([]string{h.Built("attacker")}, args...)...).As(f.users[c.user]).In(f.delegated[c.user]).Start()
		p.Expect("attacking")
		return p
	}
	command := h.Built("attacker") + " '" + strings.Join(args, "' '") + "'"
	p := h.PamHostCommand("user="+c.user, "start", "open", "exec:echo ready", "exec:"+command, "close", "end").Start()
	p.Expect("ready")
	return p
}

// outcome adds up what a crew prints at its end.
func (s *siege) outcome(f *field, r host.Result) (tried, done int) {
	text := r.Stdout
	for line := range strings.Lines(r.Stdout) {
		var step host.Step // of a crew in a session
		if json.Unmarshal([]byte(line), &step) == nil && step.Step == "exec" {
			text += "\n" + step.Text + "\n"
		}
	}
	found := false
	for line := range strings.Lines(text) {
		var o struct {
			Move        string
			Tried, Done int
			Breaches    []string
		}
		if json.Unmarshal([]byte(line), &o) != nil || o.Move == "" {
			continue
		}
		found = true
		tried, done = tried+o.Tried, done+o.Done
		for _, b := range o.Breaches {
			f.breach("%s: %s", o.Move, b)
		}
		if o.Tried == 0 {
			f.breach("the move %s was never made", o.Move)
		}
	}
	if !found {
		f.breach("an attacker ended early: %s", r)
	}
	return tried, done
}

// open opens the sessions, two hosts at a time.
func (s *siege) open(h *host.Host, f *field, n int) {
	h.T.Helper()
	work := make(chan victim)
	var hosts sync.WaitGroup
	pamhost := h.Built("pamhost")
	for range 2 {
		hosts.Go(func() {
			for v := range work {
				s.round(h, f, v, pamhost)
				if s.beside != nil {
					s.beside(h, f)
				}
			}
		})
	}
	for i := 0; i < n; i += perHost {
		work <- s.victims[i/perHost%len(s.victims)]
	}
	close(work)
	hosts.Wait()
}

// round is one host, which opens some sessions in children.
func (s *siege) round(h *host.Host, f *field, v victim, pamhost string) {
	args := slices.Concat([]string{"user=" + v.user, "start"}, v.steps)
	for range perHost {
		args = slices.Concat(args, []string{"fork", "open", "must", "look:" + v.path, "names:" + v.path}, v.more, []string{"close", "join"})
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "PAMHOST", pamhost)
	}
	cmd := exec.Command(pamhost, append(args, "end")...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		f.breach("start a host: %v", err)
		return
	}
	timer := time.AfterFunc(6*host.Patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err := cmd.Wait()
	if !timer.Stop() {
		f.breach("a host hung: %s", stdout.String())
	}
	if err != nil && !strings.Contains(stderr.String(), "/tmp/work") { // it was away at that moment
		f.breach("a host died: %v: %s", err, stderr.String())
	}
	s.judge(h, f, v, stdout.String())
}

// judge looks at what each session of a host saw.
func (s *siege) judge(h *host.Host, f *field, v victim, out string) {
	children := map[int]map[string]host.Step{}
	for line := range strings.Lines(out) {
		var step host.Step
		if json.Unmarshal([]byte(line), &step) != nil {
			f.breach("not a step: %s", line)
			continue
		}
		if children[step.Pid] == nil {
			children[step.Pid] = map[string]host.Step{}
		}
		name := step.Step
		if _, again := children[step.Pid][name]; again && name == "look" {
			name = "look:."
		}
		step.Style = v.user
		children[step.Pid][name] = step
	}
	for _, steps := range children {
		opened, ok := steps["open"]
		if !ok {
			continue // the host itself
		}
		f.mu.Lock()
		if opened.RC == 0 {
			f.opened++
		} else {
			f.refused++
		}
		f.mu.Unlock()
		if opened.RC != 0 {
			continue
		}
		look, ok := steps["look"]
		place, _, _ := strings.Cut(look.Text, " ")
		switch {
		case !ok || look.RC != 0:
			// the path can be led away by its owner, who then sees nothing
			if !s.exposed {
				f.breach("%s could not look at %s: %s", v.user, v.path, look.Text)
			}
		case f.forbidden[place] != "" && !s.leads:
			f.breach("%s saw %s at %s", v.user, f.forbidden[place], v.path)
		case v.judge != nil:
			if what := v.judge(h, f, steps); what != "" {
				f.breach("%s", what)
			}
		}
		if c, ok := steps["close"]; ok && c.RC != 0 {
			f.breach("close returned %d", c.RC)
		}
	}
}

// manifest is all that is to be known of what is root's: one line per file.
func (f *field) manifest(h *host.Host) string {
	h.T.Helper()
	var b strings.Builder
	add := func(name, path string, changes bool) {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			fmt.Fprintf(&b, "%s %v\n", name, err)
			return
		}
		content := ""
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			text, _ := os.ReadFile(path)
			content = fmt.Sprintf("%x", sha256.Sum256(text))[:16]
		case unix.S_IFLNK:
			content, _ = os.Readlink(path)
		}
		fmt.Fprintf(&b, "%s %o %d:%d links %d %s", name, st.Mode, st.Uid, st.Gid, st.Nlink, content)
		if changes { // that they can move changes its ctime
			fmt.Fprintf(&b, " changed %d.%09d", st.Ctim.Sec, st.Ctim.Nsec)
		}
		b.WriteByte('\n')
	}
	for _, top := range []string{"/srv", "/etc/security", "/etc/passwd", "/etc/shadow", "/etc/pam.d", "/var/lib/polyinst"} {
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasPrefix(path, "/var/lib/polyinst/") {
				return filepath.SkipDir // what sessions make
			}
			add(path, path, path != "/var/lib/polyinst")
			return nil
		})
	}
	for name, fd := range f.moved {
		add(name, fmt.Sprintf("/proc/self/fd/%d/.", fd), false)
		add(name+"/file", fmt.Sprintf("/proc/self/fd/%d/file", fd), true)
	}
	return b.String()
}

// reasons counts why sessions were refused.
func reasons(h *host.Host) map[string]int {
	out := map[string]int{}
	for _, l := range h.ModuleLog() {
		if _, why, ok := strings.Cut(l.Text, "session refused for "); ok && l.Severity <= 3 {
			out[why]++
		}
	}
	return out
}
