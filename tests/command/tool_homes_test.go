package command

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// homeCache covers a directory in each home, with parents in the homes.
const homeCache = `
[[polydir]]
path = "$HOME/.cache"
method = "user"
instance_prefix = "$HOME/.inst/"
except = ["root"]
create = { mode = "0700" }
parent_in_unsafe_dir = true
`

// What one user puts in the place of a parent in their home hides nobody else's
// instances, and makes no command of root's fail; it is told whose is left out.
func TestParentsThatUsersSpoil(t *testing.T) {
	for name, spoil := range map[string]string{
		"a link":                `ln -s /var/lib .inst`,
		"a dangling link":       `ln -s nowhere .inst`,
		"a link to itself":      `ln -s .inst .inst`,
		"a file":                `echo >.inst`,
		"a FIFO":                `mkfifo .inst`,
		"a directory":           `mkdir .inst`,
		"one that all can read": `mkdir -m 777 .inst; touch .inst/one .inst/two; mkdir .inst/.lock`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp+homeCache, []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				h.AddUser("bob")
				h.MustRun("su", "bob", "-c", "touch ~/.cache/mine /tmp/mine")
				h.Command("sh", "-c", "cd; "+spoil).As(host.User{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice"}).Must()
				for _, command := range kit.ForAll {
					r := h.Cmd("sh", "-c", "polyinst "+command)
					host.Equal(h, command+": exit status", r.Code, 0)
					if command != "list" && command != "check" && command != "prepare" && command != "report" {
						h.Match(command, r.Stderr, `instance parent /home/alice/.inst is left out: .*(/home/alice/.inst|is a)`)
					}
					switch {
					case strings.HasPrefix(command, "metrics"):
						h.Match("bob's", r.Stdout, `polyinst_instances\{parent="/home/bob/.inst",state="idle"\} 1`)
						h.Match("and hers", r.Stdout, `(?m)^polyinst_parents_left_out 1$`)
					case command == "list --instances":
						h.Match("bob's", r.Stdout, `/home/bob/.inst/bob`)
					}
				}
				h.Match("as JSON", h.Cmd("polyinst", "gc", "--json").Stdout, `"left_out": \[\s+\{\s+"path": "/home/alice/.inst"`)
				// of root's own breakage, every command says that it failed
				h.MustRun("sh", "-c", "rm -rf /var/lib/polyinst/tmp; ln -s nowhere/else /var/lib/polyinst/tmp")
				h.WriteFile("/var/lib/polyinst/nowhere", "")
				for _, command := range []string{"gc", "metrics", "list --instances", "prepare"} {
					r := h.Cmd("sh", "-c", "polyinst "+command)
					host.Equal(h, command+": exit status", r.Code, 1)
					h.Match(command, r.Stderr, `/var/lib/polyinst/nowhere`)
				}
			})
		})
	}
}

// Nor does what they put in the place of a polydir, or of what one shows, in their home.
func TestPolydirsThatUsersSpoil(t *testing.T) {
	const each = "for x in same shown source hidden .cache; do rmdir $x; "
	for name, spoil := range map[string]string{
		"absent": each + "done", "links": each + "ln -s /etc $x; done", "loops": each + "ln -s $x $x; done",
		"files": each + "echo >$x; done", "FIFOs": each + "mkfifo $x; done", "closed": "chmod 0 * .cache .", "open": "chmod 777 * .cache .",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, `
[[polydir]]
path = "$HOME/same"
method = "same"
mount_options = ["ro"]
except = ["root"]
[[polydir]]
path = "$HOME/shown"
method = "bind"
source = "$HOME/source"
except = ["root"]
[[polydir]]
path = "/srv/shown"
method = "bind"
source = "$HOME/source"
except = ["root"]
[[polydir]]
path = "$HOME/hidden"
method = "hidden"
except = ["root"]
[[polydir]]
path = "$HOME/.cache"
method = "user"
instance_prefix = "/var/lib/polyinst/cache/"
except = ["root"]
create = {}
`, []string{"su"}, func(h *host.Host) {
				alice, bob := h.AddUser("alice"), h.AddUser("bob")
				h.Mkdir("/srv/shown", 0o755, 0, 0)
				for _, u := range []host.User{alice, bob} {
					for _, d := range []string{"same", "shown", "source", "hidden", ".cache"} {
						h.Mkdir(u.Home+"/"+d, 0o755, u.UID, u.GID)
					}
				}
				h.MustRun("polyinst", "prepare")
				h.Command("sh", "-c", "cd; "+spoil).As(alice).Must()
				h.Su("alice", "true")
				h.MustRun("su", "bob", "-c", "true")
				for _, command := range append(kit.ForAll, "status", "doctor bob") {
					host.Equal(h, command+": exit status", h.Cmd("sh", "-c", "polyinst "+command).Code, 0)
				}
				h.Match("metrics", h.MustRun("polyinst", "metrics"), `(?m)^polyinst_config_problems 0$`)
			})
		})
	}
}

// What is root's fault is told as an error also where the polydir lies in a home.
func TestRootsFaultBehindAHome(t *testing.T) {
	kit.Story(t, strings.NewReplacer(`"/tmp"`, `"$HOME/.cache"`, `polyinst/tmp/`, `polyinst/cache/`).Replace(kit.OwnTmp)+"create = {}\n", []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("polyinst", "prepare")
		host.Equal(h, "well", h.Cmd("polyinst", "check").Code, 0)
		for _, spoil := range []string{"chmod 755", "chown 5", "rm -r"} {
			h.MustRun("sh", "-c", spoil+" /var/lib/polyinst/cache")
			host.Equal(h, spoil+": alice's session", h.Su("alice", "true").Code, 1)
			for _, command := range []string{"check", "status", "report"} {
				host.Equal(h, spoil+": "+command, h.Cmd("polyinst", command).Code, 1)
			}
			h.Match(spoil, h.Cmd("polyinst", "metrics").Stdout, `(?m)^polyinst_config_problems [1-9]`)
		}
	})
}

// A command that a message advises does no harm to others, whatever the user puts in
// the place of what it names before somebody obeys.
func TestAdviceAboutHomesHarmsNobody(t *testing.T) {
	for name, spoil := range map[string]string{
		"theirs":                 "mkdir .inst",
		"one that all can write": "mkdir -m 777 .inst",
		"root's, by an accident": "mkdir .inst; echo >by-accident",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, homeCache, []string{"su"}, func(h *host.Host) {
				alice := h.AddUser("alice")
				h.AddUser("bob")
				h.Command("sh", "-c", "cd; "+spoil).As(alice).Must()
				h.Sh("if [ -e /home/alice/by-accident ]; then chown root /home/alice/.inst; fi")
				said := fmt.Sprint(h.Su("alice", "true"), h.ModuleLog())
				for _, command := range append(kit.ForAll, "explain alice") {
					said += fmt.Sprint(h.Cmd("sh", "-c", "polyinst "+command))
				}
				h.Match("what was said", said, `/home/alice/\.inst`)
				h.Command("sh", "-c", "cd; mv .inst away; ln -s /home/bob .inst").As(alice).Must()
				before := h.Sh("stat -c '%u:%g %a' /home/bob")
				for _, command := range regexp.MustCompile(`(chown|chmod|chattr) [-+:\w]+ /home/[\w./]+`).FindAllString(said, -1) {
					h.Sh(command)
				}
				host.Equal(h, "bob's home", h.Sh("stat -c '%u:%g %a' /home/bob"), before)
			})
		})
	}
}

// What a user puts in the place of a parent, with as many names in it as they like, is
// read by no command.
func TestParentsOfOthersAreNotRead(t *testing.T) {
	kit.Story(t, homeCache, []string{"su"}, func(h *host.Host) {
		h.Need("strace")
		alice := h.AddUser("alice")
		h.AddUser("bob")
		h.MustRun("su", "bob", "-c", "true")
		h.Command("sh", "-c", "cd; mkdir .inst; touch .inst/1 .inst/2").As(alice).Must()
		for _, command := range append(kit.ForAll, "gc --orphans") {
			h.Cmd("sh", "-c", "strace -f -qq -y -e trace=getdents64 -o /root/reads polyinst "+command)
			if reads := h.ReadFile("/root/reads"); strings.Contains(reads, "/home/alice/.inst>") {
				t.Errorf("polyinst %s: %s", command, reads)
			}
		}
		h.Match("bob's is", h.Sh("strace -f -qq -y -e trace=getdents64 polyinst gc --orphans 2>&1"), "/home/bob/.inst>")
	})
}

// Nor does one that a message advises for the polydir itself, or for a directory on the
// way to it.
func TestAdviceAboutPolydirsHarmsNobody(t *testing.T) {
	for name, c := range map[string]struct{ path, spoil, put string }{
		"open to others, below":           {"$HOME/x/y", "mkdir -p x/y; chmod 777 x", "x"},
		"a source, open to others":        {"$HOME/b", "mkdir -p b x/y; chmod 777 x", "x"},
		"root's, open to all":             {"$HOME/x", "mkdir x; chmod 777 x; echo >by-accident", "x"},
		"root's, closed":                  {"$HOME/x", "mkdir x; chmod 755 x; echo >by-accident", "x"},
		"a group's, in a directory of it": {"$HOME/g/x", "mkdir -p g/x; chmod 775 g", "g"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := strings.ReplaceAll(kit.OwnTmp, `"/tmp"`, `"`+c.path+`"`)
			if c.path == "$HOME/b" {
				config = "[[polydir]]\npath = \"$HOME/b\"\nmethod = \"bind\"\nsource = \"$HOME/x/y\"\nexcept = [\"root\"]\n"
			}
			kit.Story(t, config, []string{"su"}, func(h *host.Host) {
				alice := h.AddUser("alice")
				h.AddUser("bob")
				h.Command("sh", "-c", "cd; "+c.spoil).As(alice).Must()
				h.Sh("if [ -e /home/alice/by-accident ]; then chown root /home/alice/x; fi")
				said := fmt.Sprint(h.Su("alice", "true"), h.ModuleLog())
				for _, command := range append(kit.ForAll, "explain alice", "doctor alice") {
					said += fmt.Sprint(h.Cmd("sh", "-c", "polyinst "+command))
				}
				h.Match("what was said", said, `/home/alice/`+c.put)
				h.Command("sh", "-c", "cd; mv "+c.put+" away; ln -s /home/bob "+c.put).As(alice).Must()
				before := h.Sh("stat -c '%u:%g %a' /home/bob")
				for _, command := range regexp.MustCompile(`(chown|chmod|chattr) [-+:\w]+ /home/[\w./]+`).FindAllString(said, -1) {
					h.Sh(command)
				}
				for _, m := range regexp.MustCompile(`in "(/home/[\w./]+)" \([^)]*\): make that directory root's`).FindAllStringSubmatch(said, -1) {
					h.Sh("chown root " + m[1] + "; chmod go-w,+t " + m[1])
				}
				host.Equal(h, "bob's home", h.Sh("stat -c '%u:%g %a' /home/bob"), before)
			})
		})
	}
}

// A filesystem that a user mounted, and whose daemon answers nothing, is waited
// for by no command that goes through all homes.
func TestHangingHome(t *testing.T) {
	for _, place := range []string{"/home/alice", "/home/alice/.inst"} {
		t.Run(strings.ReplaceAll(place, "/", "_"), func(t *testing.T) {
			t.Parallel()
			kit.Story(t, homeCache, []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				h.AddUser("bob")
				h.PAM("su", host.Stack()...)
				h.Command("mkdir", "-p", place).As(host.User{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice"}).Must()
				kit.Hang(h, place, 2001)
				h.PAM("su", host.Stack(kit.Session)...)
				for _, command := range kit.ForAll {
					r := h.Command("sh", "-c", "exec polyinst "+command).Timeout(20 * time.Second).Run()
					host.Equal(h, command+": exit status", r.Code, 0)
					if command != "list" && command != "check" && command != "prepare" && command != "report" {
						h.Match(command, r.Stderr, `instance parent /home/alice/.inst is left out: open `+place+`: .*uid 2001 mounted`)
					}
				}
				h.Match("check", fmt.Sprint(h.Cmd("polyinst", "check")), `for alice: .*uid 2001 mounted`)
			})
		})
	}
}

// Nor is the root directory that a process of a session has chosen: its daemon
// answered once, and is stopped by now.
func TestHangingRoot(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.Need("sshfs", "perl")
		h.AddUser("alice")
		h.Sshd()
		h.Mkdir("/srv/remote", 0o755, 0, 0)
		p := h.Start("su", "alice", "-c", "mkdir /tmp/h; echo ready; cat")
		p.Expect("ready")
		session := fmt.Sprint(kit.List(h).Namespaces[0].PIDs[0])
		// of the tasks of the session, it is the first to be looked at
		left := h.Start("nsenter", "-t", session, "-m", "perl", "-e", `$| = 1; print "there\n"; <STDIN>; chroot "/tmp/h" or die; print "chosen\n"; <STDIN>`)
		left.Expect("there")
		daemon := h.Start("nsenter", "-t", session, "-m", "sshfs", "-f", "-o",
			"allow_other,attr_timeout=0,entry_timeout=0,IdentityFile=/etc/ssh/story/client,UserKnownHostsFile=/etc/ssh/story/known_hosts",
			"root@127.0.0.1:/srv/remote", "/tmp/h")
		h.MustRun("nsenter", "-t", session, "-m", "sh", "-c", "until mountpoint -q /tmp/h; do :; done")
		left.Send("now\n")
		left.Expect("chosen")
		p.CloseInput()
		p.Wait()
		daemon.Signal(syscall.SIGSTOP)
		for _, command := range kit.ForAll {
			h.Command("sh", "-c", "exec polyinst "+command).Timeout(20 * time.Second).Run()
		}
		daemon.Signal(syscall.SIGCONT)
		left.Kill()
	})
}

// Everybody's home is a polydir whose instances lie in it, root's too: no command
// sends the administrator to `polyinst prepare`, which leaves homes out, and root's
// session makes the parent in root's home as a user's session does.
func TestHomeOfRoot(t *testing.T) {
	const conf = "[[polydir]]\npath = \"$HOME\"\ninstance_prefix = \"$HOME/$USER.inst/\"\nmethod = \"user\"\nparent_in_unsafe_dir = true\n"
	kit.Story(t, conf, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("rm", "-rf", "/root/root.inst")
		h.MustRun("polyinst", "check")
		h.MustRun("polyinst", "explain", "root", "--service", "su")
		h.MustRun("touch", "/root/outside")
		for user, home := range map[string]string{"root": "/root", "alice": "/home/alice"} {
			host.Equal(h, user+" is in", h.MustRun("su", user, "-c", "ls "+home), "")
			mode, uid, gid := h.Mode(home + "/" + user + ".inst")
			host.Equal(h, user+"'s parent", fmt.Sprintf("%04o %d:%d", mode&0o7777, uid, gid), "0000 0:0")
		}
		h.Match("the log", fmt.Sprint(h.ModuleLog()), `session opened for "root" .*: /root -> /root/root.inst/root`)
	})
}
