package polydir

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// What a session sees that is no instance: methods proc, hidden, same and bind.

// proc with a group that sees everything: for root it is then not group 0.
const ownProcOf = kit.OwnProc + `proc = { gid = "watch" }
`

// A session sees no process of other users, and programs that look at processes
// work; who is exempt returns to the host's /proc.
func TestOwnProc(t *testing.T) {
	kit.Story(t, kit.OwnProc, []string{"su", "sudo"}, func(h *host.Host) {
		h.Need("strace", "sudo", "ssh-agent", "ps", "top")
		kit.Sudoers(h)
		h.AddUser("alice")
		h.AddUser("bob")
		other := h.Command("su", "bob", "-c", "echo up; exec sleep 600").Start()
		defer other.KillHard()
		other.Expect("up")
		h.Match("the mount", h.MustRun("su", "alice", "-c", "tac /proc/self/mountinfo | grep ' /proc '"), `(?m)^\d+ \d+ \S+ / /proc .*nosuid,nodev.* - proc proc rw,.*hidepid=(2|invisible)`)
		out := h.MustRun("su", "alice", "-c", "ps -eo user= | grep -vc ^alice; ps -o comm= -p $$; ls -d /proc/1 2>&1; cat /proc/1/cmdline 2>&1; true")
		h.Match("in the session", out, `(?s)^0\n(ba|da)?sh\n.*/proc/1'?: No such file.*No such file`)
		h.Match("of the host", h.MustRun("ps", "-eo", "user=,comm="), `bob +sleep`)
		h.Match("one's own", h.MustRun("su", "alice", "-c", "sleep 60 & for i in $(seq 1000); do ps -eo comm= | grep ^sleep && break; done; kill %1"), `^sleep`)
		h.Match("top", h.MustRun("su", "alice", "-c", "TERM=dumb top -bn1 | head -4"), `Tasks: +[1-9]`)
		h.Match("free", h.MustRun("su", "alice", "-c", "free"), `Mem:`)
		h.Match("strace", h.MustRun("su", "alice", "-c", "strace -f -e trace=execve /bin/true 2>&1"), `execve\("/bin/true"`)
		h.Match("ssh-agent", h.MustRun("su", "alice", "-c", "ssh-agent sh -c 'ssh-add -l; test $? = 1'"), `no identities`)
		h.Match("sudo, exempt", kit.InASession(h, "sudo ps -eo user=,comm="), `bob +sleep`)
		h.Match("su to another", h.MustRun("su", "alice", "-c", "echo "+host.Password+" | su bob -c 'ps -eo user=,comm='"), `^(bob +\S+\n?)+$`)
		h.Match("list", h.MustRun("polyinst", "list"), `/proc +proc`)
		h.Match("explain", h.MustRun("polyinst", "explain", "alice", "--service", "su"), `cover "/proc" with a procfs of the session's own: processes of other users are not seen, except by members of the group "root", method proc, nosuid,nodev,noexec`)
		// nothing stays in the host's view
		host.Equal(h, "mounts of /proc", strings.TrimSpace(h.Sh("grep -c ' /proc ' /proc/self/mountinfo")), "1")
	})
}

// With hidepid=noaccess the ids are seen, and a group sees everything.
func TestOwnProcOptions(t *testing.T) {
	kit.Story(t, kit.OwnProc+`proc = { hidepid = "noaccess", gid = "watch" }`+"\n", []string{"su"}, func(h *host.Host) {
		h.AddGroup("watch")
		h.AddUser("alice")
		h.AddUser("carol", host.User{Groups: []string{"watch"}})
		look := "ls -d /proc/1; cat /proc/1/cmdline 2>&1 | tr '\\0' ' '"
		h.Match("alice", h.MustRun("su", "alice", "-c", look), `(?s)/proc/1\n.*Operation not permitted`)
		h.Match("carol", h.MustRun("su", "carol", "-c", look+"; ls /proc/1/status"), `/proc/1/status`)
		h.Match("explain", h.MustRun("polyinst", "explain", "alice", "--service", "su"), `of other users' processes only the ids are seen, except by members of the group "watch"`)
		h.Config(strings.Replace(ownProcOf, "watch", "nobodys", 1))
		h.Match("a group that is not there", h.Su("alice", "true").Stderr, `refused`)
		h.WaitLog(`polydir "/proc": proc: gid: there is no group "nobodys"`)
		h.Match("check", h.Sh("polyinst check 2>&1 || true"), `namespace.conf:6:1: error: polydir "/proc": proc: gid: there is no group "nobodys"`)
	})
}

// A nested worker without CAP_SYS_PTRACE, to which the session's /proc does not
// even show process 1, sees no less than in the host's /proc: it says the same.
func TestOwnProcBlindsNoWorker(t *testing.T) {
	for name, config := range map[string]string{"the host's": kit.OwnTmp, "its own": kit.OwnTmp + ownProcOf} {
		t.Run(name, func(t *testing.T) {
			host.Run(t, func(h *host.Host) {
				kit.Install(h, config)
				h.AddGroup("watch")
				for _, s := range []string{"su", "pamhost"} {
					h.PAM(s, host.Stack(kit.Session)...)
				}
				h.AddUser("alice")
				h.AddUser("bob")
				kit.InASession(h, h.Built("pamhost")+" user=bob start acct dropcap:cap_sys_ptrace open close end >/dev/null")
				h.WaitLog(`nested session: built on the view that it is in: .*: open (/proc/)?1/ns/mnt: permission denied$`)
				h.WaitLog(`session opened for "bob"`)
			})
		})
	}
}

// What is hidden is not there, what is the same has other options, what is bound
// is another; of files as of directories. All of a session's mounts end with it.
func TestShown(t *testing.T) {
	kit.Story(t, kit.ShownConf, []string{"su"}, func(h *host.Host) {
		kit.MakeShown(h)
		h.AddUser("alice")
		h.AddUser("bob")
		run := func(command string) string { return h.Su("alice", "exec 2>&1; "+command).Stdout }
		h.Match("hidden directory", run("ls /srv/secret; cd /srv/secret"), `(?s)cannot open directory '/srv/secret'.*Permission denied`)
		h.Match("hidden entry", run("cat /srv/secret/key"), `Permission denied`)
		h.Match("hidden file", run("cat /srv/secret.conf"), `Permission denied`)
		host.Equal(h, "its size", run("stat -c %s /srv/secret.conf"), "0\n")
		host.Equal(h, "the same", run("cat /srv/shown/file /srv/shown.conf"), "f\nc\n")
		h.Match("read only", run("touch /srv/shown/new; echo x > /srv/shown.conf; /srv/shown/program; sh /srv/shown/program"), `(?s)Read-only.*Read-only.*Permission denied.*ran`)
		host.Equal(h, "another", run("ls /srv/other; cat /srv/other.conf"), "a\nmine\n")
		host.Equal(h, "bob's", h.Su("bob", "ls /srv/other").Stdout, "b\n")
		// what is mounted below has the options, what is mounted later is not there
		h.Mkdir("/srv/shown/below", 0o777, 0, 0)
		h.MustRun("mount", "-t", "tmpfs", "none", "/srv/shown/below")
		h.Match("below", run("touch /srv/shown/below/new"), `Read-only`)
		living := h.Command("su", "alice", "-c", "echo up; read x; ls /srv/shown/below; echo looked").Start()
		living.Expect("up")
		h.MustRun("umount", "/srv/shown/below")
		h.MustRun("mount", "-t", "tmpfs", "none", "/srv/shown/below")
		h.WriteFile("/srv/shown/below/later", "")
		living.Send("\n")
		living.Expect("looked")
		if out := living.Wait().Stdout; strings.Contains(out, "later") {
			t.Errorf("what was mounted later is there: %s", out)
		}
		h.MustRun("umount", "/srv/shown/below")
		// what another writes there now is seen
		h.WriteFile("/srv/shown/file", "changed\n")
		host.Equal(h, "changed", run("cat /srv/shown/file"), "changed\n")
		h.Match("of all sessions one", run("stat -c %i /srv/secret")+h.Su("bob", "stat -c %i /srv/secret").Stdout, `^(\d+)\n\d+\n$`)
		host.Equal(h, "its inode", run("stat -c %i /srv/secret"), h.Sh("stat -c %i /run/polyinst/nothing")+"\n")
		// a source that is not as it must be is left alone, and another one takes its place
		h.MustRun("chmod", "755", "/run/polyinst/nothing")
		h.WriteFile("/run/polyinst/nothing.file", "x")
		host.Equal(h, "hidden all the same", run("stat -c %a /srv/secret; stat -c '%a %s' /srv/secret.conf"), "0\n0 0\n")
		h.MustRun("sh", "-c", "chmod 0 /run/polyinst/nothing; rm /run/polyinst/nothing.file")
		host.Equal(h, "root", strings.TrimSpace(h.MustRun("su", "root", "-c", "cat /srv/secret/key; cat /srv/other.conf")), "k\npublic")
		host.Equal(h, "mounts left", strings.TrimSpace(h.Sh("grep -c ' /srv/' /proc/self/mountinfo || true")), "0")

		// while it lives
		alice := h.Command("su", "alice", "-c", "echo up; exec sleep 600").Start()
		defer alice.KillHard()
		alice.Expect("up")
		out := h.MustRun("polyinst", "list")
		for _, want := range []string{`/srv/secret +hidden(\n|$)`, `/srv/secret.conf +hidden(\n|$)`, `/srv/shown +same(\n|$)`, `/srv/shown.conf +same(\n|$)`, `/srv/other +/srv/of/alice(\n|$)`, `/srv/other.conf +/srv/of/conf(\n|$)`} {
			h.Match("list", out, want)
		}
		out = h.MustRun("polyinst", "explain", "alice", "--service", "su")
		for _, want := range []string{
			`cover "/srv/secret" with an empty directory that only root can enter, method hidden`,
			`cover "/srv/secret.conf" with an empty file that only root can read, method hidden`,
			`cover "/srv/shown" with itself, with other mount options, method same, noexec,ro`,
			`cover "/srv/other" with "/srv/of/alice", method bind, nosuid,nodev`,
		} {
			h.Match("explain", out, want)
		}
		h.MustRun("polyinst", "check")
		h.MustRun("polyinst", "gc")
	})
}

// All of a user's sessions share it, and a session inside one that is to get the
// same stays in it.
func TestShownShared(t *testing.T) {
	kit.Story(t, "[namespace]\nscope = \"user\"\n"+kit.ShownConf+kit.OwnProc, []string{"su", "pamhost", "runuser"}, func(h *host.Host) {
		kit.MakeShown(h)
		h.AddUser("alice")
		h.AddUser("bob")
		first := h.Command("su", "alice", "-c", "echo up $(readlink /proc/self/ns/mnt); exec sleep 600").Start()
		defer first.KillHard()
		ns := first.Expect(`up (mnt:\S+)`)[1]
		host.Equal(h, "the second session", strings.TrimSpace(h.MustRun("su", "alice", "-c", "readlink /proc/self/ns/mnt")), ns)
		host.Equal(h, "inside", kit.InASession(h, "runuser alice -c 'readlink /proc/self/ns/mnt; ls /srv/other'"), ns+"\na")
		host.Equal(h, "bob inside", kit.InASession(h, "runuser bob -c 'ls /srv/other'"), "b")
		h.Match("list", h.MustRun("polyinst", "list"), `user +\d+ +\d+ +\S+ +/proc +proc`)
		h.Match("metrics", h.MustRun("polyinst", "list", "--json"), `"instance": "/srv/of/alice"`)
	})
}

// In the host's own namespace it is the same, and a refusal takes it all off again.
func TestShownInPlace(t *testing.T) {
	kit.Story(t, kit.ShownConf+kit.OwnProc, []string{"pamhost"}, func(h *host.Host) {
		h.Need("strace")
		kit.MakeShown(h)
		h.AddUser("alice")
		look := "root-exec:ls /srv/other; cat /srv/other.conf; grep -c hidepid /proc/self/mountinfo"
		tr := h.PamHost(kit.Steps("dropcap:cap_sys_chroot", "open", look, "close", "end")...)
		tr.RC("open", host.PAMSuccess)
		host.Equal(h, "in place", strings.TrimSpace(tr.Step("root-exec").Text), "a\nmine\n1")
		args := []string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=move_mount:error=EINVAL:when=5", h.Built("pamhost")}
		after := "root-exec:grep -c -e ' /srv/' -e hidepid /proc/self/mountinfo"
		tr = h.Command(append(args, kit.Steps("dropcap:cap_sys_chroot", "open", after, "end")...)...).Trace()
		tr.RC("open", host.PAMRefused)
		host.Equal(h, "refused", strings.TrimSpace(tr.Step("root-exec").Text), "0")
	})
}

// A source that somebody else can rename, or that the user can put another's in
// the place of, is refused; so is one of another kind, and one that is not there.
func TestSourceOfOthers(t *testing.T) {
	kit.Story(t, "[namespace]\npolydirs = \"none\"\n", []string{"su"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		h.AddUser("bob")
		h.Mkdir("/srv/at", 0o755, 0, 0)
		h.Mkdir("/srv/open", 0o777, 0, 0)
		h.Mkdir("/srv/open/dir", 0o755, 0, 0)
		h.Mkdir("/srv/sticky", 0o1777, 0, 0)
		h.Mkdir("/srv/sticky/bobs", 0o755, 2002, 2002)
		h.Mkdir("/srv/sticky/roots", 0o755, 0, 0)
		h.MustRun("su", "alice", "-c", "mkdir ~/own; ln -s /etc ~/link")
		h.Mkdir("/home/alice/roots", 0o755, 0, 0)
		h.WriteFile("/srv/file", "")
		kit.UsersMayMount(h)
		h.MustRun("su", "alice", "-c", "mkdir ~/mnt")
		kit.Lies(h, alice, "/home/alice/mnt", "d:/:0:755")
		for source, want := range map[string]string{
			"/srv/open/dir":     `others can rename it in "/srv/open" \(mode 0777\)`,
			"/srv/sticky/bobs":  `uid 2002 made what stands in its place, in "/srv/sticky"`,
			"/srv/sticky/roots": "",
			"$HOME/own":         "",
			"$HOME/roots":       `owned by uid 0, in "/home/alice", where uid 2001 can put another one in its place`,
			"$HOME/link":        `only root's are followed`,
			"/home/bob":         "",
			"$HOME/mnt":         `is on a filesystem that uid 2001 mounted.*nothing is asked of it`,
			"/srv/none":         "does not exist",
			"/srv/none/at/all":  "no such file",
			"/srv/file":         `is a file, and the polydir a directory`,
		} {
			h.Config("[[polydir]]\npath = \"/srv/at\"\nmethod = \"bind\"\nsource = \"" + source + "\"\nexcept = [\"root\"]\n")
			h.ForgetLog()
			r := h.Su("alice", "true")
			if want == "" {
				host.Equal(h, source, r.Code, 0)
				continue
			}
			if r.Code == 0 {
				t.Errorf("source %q is accepted, want: %s", source, want)
				continue
			}
			h.WaitLog(`source ".*": .*` + want + `|source .*` + want)
		}
	})
}

// ownHome is a /home in which there is one's own home alone.
const ownHome = `
[[polydir]]
path   = "/home"
method = "tmpfs"
keep   = ["$HOME"]
except = ["root"]

[[polydir]]
path            = "$HOME/.cache"
instance_prefix = "/var/lib/polyinst/cache/"
method          = "user"
except          = ["root"]
create          = {}
`

// In /home there is one's own home alone, wherever below it lies, by every
// program that looks; a polydir inside it is covered as well.
func TestOwnHomeAlone(t *testing.T) {
	kit.Story(t, ownHome, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.Mkdir("/home/a", 0o755, 0, 0)
		h.AddUser("carol", host.User{Home: "/home/a/carol"})
		h.Mkdir("/srv/homes", 0o755, 0, 0)
		h.AddUser("dave", host.User{Home: "/srv/homes/dave"})
		h.WriteFile("/home/alice/mine", "")
		look := "ls -A /home /home/a 2>&1; touch ~/new && touch ~/.cache/new && stat -c '%U %a' ~"
		host.Equal(h, "alice", h.MustRun("su", "alice", "-c", look+"; ls ~; touch /home/x 2>&1 || true"), `ls: cannot access '/home/a': No such file or directory
/home:
alice
alice 700
mine
new
touch: cannot touch '/home/x': Permission denied`)
		h.Match("carol", h.MustRun("su", "carol", "-c", look), `^/home:\na\n\n/home/a:\ncarol\ncarol 700`)
		h.Match("dave", h.MustRun("su", "dave", "-c", look), `(?s)/home:\n.*dave 700`)
		h.WaitLog(`polydir "/home": keep: left out: "/srv/homes/dave" \(does not lie below "/home": it is seen where it is\)`)
		for _, home := range []string{"/home/alice", "/home/a/carol", "/srv/homes/dave"} {
			if !h.Exists(home+"/new") || h.Exists(home+"/.cache/new") {
				t.Errorf("%s: what the session made is not where it should be", home)
			}
		}
		h.Match("explain", h.MustRun("polyinst", "explain", "carol", "--service", "su"), `keep "a/carol" of the public directory, the user's own, nosuid,nodev, on a new mount point`)
		alice := h.Command("su", "carol", "-c", "echo up; exec sleep 600").Start()
		defer alice.KillHard()
		alice.Expect("up")
		h.Match("list", h.MustRun("polyinst", "list"), `/home +tmpfs with a/carol`)
	})
}

// In an instance that stays, the home is mounted on what the first session has
// made, and anew on what somebody has put there.
func TestOwnHomeInAnInstance(t *testing.T) {
	config := strings.Replace(ownHome[:strings.Index(ownHome, "[[polydir]]\npath            ")], `method = "tmpfs"`,
		"method = \"user\"\ninstance_prefix = \"/var/lib/polyinst/home/\"", 1)
	kit.Story(t, config, []string{"su"}, func(h *host.Host) {
		h.Mkdir("/home/a", 0o755, 0, 0)
		h.AddUser("carol", host.User{Home: "/home/a/carol"})
		const inst = "/var/lib/polyinst/home/carol"
		look := func() string { return h.Su("carol", "touch ~/mine && ls -A /home /home/a ~ | tr '\n' ' '").Stdout }
		for range 2 {
			host.Equal(h, "what she sees", look(), "/home: a  /home/a: carol  /home/a/carol: mine ")
		}
		mode, uid, _ := h.Mode(inst + "/a/carol")
		host.Equal(h, "the mount point", [2]int{int(mode), uid}, [2]int{0o700, 0})
		host.Equal(h, "what is in it", len(h.Names(inst+"/a/carol")), 0)
		// above it a link, which is not followed
		h.MustRun("sh", "-c", "rm -r "+inst+"/a; ln -s /etc "+inst+"/a")
		before := h.Names("/etc")
		host.Equal(h, "with a link", h.Su("carol", "ls -A /home").Stdout, "a\n")
		h.WaitLog(`keep: left out: "a/carol" \(in the instance: is a symbolic link, not a directory\)`)
		host.Equal(h, "/etc", strings.Join(h.Names("/etc"), " "), strings.Join(before, " "))
	})
}

// An entry counts only if it is the session user's own, on a filesystem that is
// believed; no link is followed to it.
func TestKeepOwnIsOnesOwn(t *testing.T) {
	kit.Story(t, strings.Replace(ownHome[:strings.Index(ownHome, "[[polydir]]\npath            ")], "$HOME", "$USER", 1), []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		look := func(want, why string) {
			h.T.Helper()
			h.ForgetLog()
			host.Equal(h, "in /home: "+why, strings.TrimSpace(h.Su("alice", "cd /; ls /home").Stdout), want)
			if why != "" {
				h.WaitLog(`polydir "/home": keep: left out: "alice" \(` + why + `\)`)
			}
		}
		look("alice", "")
		h.MustRun("chown", "bob", "/home/alice")
		look("", `owned by uid 2002, want 2001, the session's user`)
		h.MustRun("sh", "-c", "mv /home/alice /srv/a; chown alice /srv/a; ln -s /srv/a /home/alice; chown -h alice /home/alice")
		look("", `is a symbolic link, not a directory`)
		h.MustRun("rm", "/home/alice")
		look("", `does not exist`)
		h.WriteFile("/home/alice", "")
		look("", `is a regular file, not a directory`)
		h.MustRun("rm", "/home/alice")
		h.MustRun("mv", "/srv/a", "/home/alice")
		// another filesystem of the machine's
		h.MustRun("mount", "-t", "tmpfs", "-o", "uid=2001,mode=700", "none", "/home/alice")
		look("alice", "")
		h.MustRun("umount", "/home/alice")
	})
}

// In a user namespace of their own users have every capability over a copy of
// their view: what covers a path stays there, and its options as well.
func TestShownInAUserNamespace(t *testing.T) {
	kit.Story(t, kit.ShownConf+kit.OwnProc, []string{"su"}, func(h *host.Host) {
		kit.MakeShown(h)
		h.AddUser("alice")
		h.AddUser("bob")
		other := h.Command("su", "bob", "-c", "echo up; exec sleep 600").Start()
		defer other.KillHard()
		other.Expect("up")
		in := func(command string) string {
			return h.Su("alice", "exec 2>&1; unshare -Urm sh -c '"+command+"'").Stdout
		}
		if out := in("id -u"); out != "0\n" {
			t.Skip("needs user namespaces:", out)
		}
		for _, path := range []string{"/proc", "/srv/secret", "/srv/secret.conf", "/srv/shown", "/srv/shown.conf", "/srv/other", "/srv/other.conf"} {
			h.Match("umount", in("umount "+path), `umount: .*(not mounted|invalid|Invalid)`)
			h.Match("umount -l", in("umount -l "+path), `umount: .*(not mounted|invalid|Invalid)`)
		}
		h.Match("what is below", in("mount --bind /srv /mnt; ls /mnt/secret"), `(?i)mount: /mnt: (wrong fs type|not permitted|permission denied|.*invalid)`)
		h.Match("read only", in("mount -o remount,bind,rw /srv/shown; touch /srv/shown/new"), `(?s)permission denied.*Read-only file system`)
		h.Match("a copy of it", in("mount --bind /srv/shown /mnt && mount -o remount,bind,rw /mnt; touch /mnt/new"), `(?s)permission denied.*Read-only file system`)
		h.Match("hidepid", in("mount -o remount,hidepid=0 /proc; ls -d /proc/1"), `(?s)mount: .*/proc/1'?: No such file`)
		h.Match("another procfs", in("mount -t proc proc /mnt; ls /mnt"), `mount: .*`)
		h.Match("hidden", in("cat /srv/secret/key /srv/secret.conf"), `(?s)Permission denied.*Permission denied`)
		h.Match("moved", in("mount --move /srv/secret /mnt; ls /srv/secret"), `mount: .*`)
		// open_by_handle_at(2), 304 on this machine, wants CAP_DAC_READ_SEARCH outside
		if runtime.GOARCH == "amd64" {
			h.Match("by handle", in("perl -e '\"'\"'$h = pack(\"Lla8\", 8, 1, \"x\" x 8); print syscall(304, -100, $h, 0) < 0 ? \"$!\\n\" : \"opened\\n\"'\"'\"'"), `(?i)not permitted`)
		}
		// a procfs of a pid namespace of their own shows that one's processes
		out := h.MustRun("su", "alice", "-c", "unshare -Urmpf sh -c 'mount -t proc proc /proc && ps -eo user=,comm='")
		if strings.Contains(out, "sleep") {
			t.Errorf("in a pid namespace of alice's own: %s", out)
		}
	})
}

// What does not hold: a process of alice's outside of the session, and modes that
// permit it by another path. The manual says so.
func TestShownIsNoAccessControl(t *testing.T) {
	kit.Story(t, kit.ShownConf+kit.OwnProc, []string{"su"}, func(h *host.Host) {
		kit.MakeShown(h)
		alice := h.AddUser("alice")
		h.AddUser("bob")
		outside := h.Command("sleep", "600").As(alice).Start()
		defer outside.KillHard()
		host.Equal(h, "by a process outside", h.Su("alice", fmt.Sprintf("cat /proc/%d/root/srv/secret/key", outside.Pid())).Stdout, "k\n")
	})
}

// A filesystem that alice mounted, and that answers nothing, lies below what is shown to
// bob in each way that there is: nobody and no command waits for it.
func TestShownAboveAUsersMount(t *testing.T) {
	overlays(t, `
[namespace]
scope = "user"
timeout = "8s"
[[polydir]]
path = "/home"
method = "same"
mount_options = ["ro"]
except = ["root"]
[[polydir]]
path = "/srv/homes"
method = "bind"
source = "/home"
except = ["root"]
[[polydir]]
path = "/tmp"
method = "user"
instance_prefix = "/var/lib/polyinst/tmp/"
keep = ["shared", "sha*"]
except = ["root"]
`+kit.KeptLab[strings.Index(kit.KeptLab, "[[polydir]]"):], []string{"su"}, func(h *host.Host) {
		alice := 2001
		h.Mkdir("/srv/homes", 0o755, 0, 0)
		h.Mkdir("/tmp/shared", 0o755, 0, 0)
		h.MustRun("polyinst", "prepare")
		for _, place := range []string{"/home/alice/mnt", kit.Lab + "/mnt", "/tmp/shared/mnt"} {
			h.Mkdir(place, 0o755, alice, alice)
			kit.Hang(h, place, alice)
		}
		for _, what := range []string{"the first session", "the next one"} {
			host.Equal(h, what, h.MustRun("su", "bob", "-c", "ls /srv/lab; touch /home/x 2>&1 || true; ls -d /srv/homes/alice /tmp/shared"),
				"course\nmnt\ntouch: cannot touch '/home/x': Read-only file system\n/srv/homes/alice\n/tmp/shared")
		}
		for _, command := range append(kit.ForAll, "status", "doctor bob", "doctor alice", "explain bob --from alice") {
			r := h.Command("sh", "-c", "exec polyinst "+command).Timeout(20 * time.Second).Run()
			host.Equal(h, command+": exit status", r.Code, 0)
		}
	})
}
