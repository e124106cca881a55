package polydir

import (
	"regexp"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

func TestUserLists(t *testing.T) {
	base := strings.Replace(kit.OwnTmp, `except          = ["root"]`, "", 1)
	for keys, own := range map[string]map[string]bool{
		`except = ["alice"]`:                         {"alice": false, "bob": true, "root": true},
		`except = ["@project", "root"]`:              {"alice": true, "bob": false, "root": false},
		`except = ["uid:3001-3002"]`:                 {"alice": false, "bob": true},
		`only = ["@project"]`:                        {"alice": false, "bob": true, "root": false},
		`only = ["uid:3001"]`:                        {"alice": false, "bob": true},
		`only = ["@no-such-group"]`:                  {"alice": true, "bob": true, "root": false},
		`except = ["@no-such-group", "no-such-one"]`: {"alice": true, "bob": true},
		`only = ["al*"]`:                             {"alice": true, "bob": false, "root": false},
		`services = ["login"]`:                       {"alice": false},
		`services = ["login", "su"]`:                 {"alice": true},
	} {
		t.Run(keys, func(t *testing.T) {
			t.Parallel()
			uids := map[string]int{"alice": 3002, "bob": 3001}
			if strings.Contains(keys, `"uid:3001-3002"`) {
				uids["bob"] = 3003
			}
			kit.Story(t, base+keys+"\n", []string{"su"}, func(h *host.Host) {
				h.AddUser("alice", host.User{UID: uids["alice"]})
				h.AddUser("bob", host.User{UID: uids["bob"]})
				h.AddGroup("project", "bob")
				for user, want := range own {
					kit.SeesOwnTmp(h, user, want)
				}
			})
		})
	}
}

func TestCreate(t *testing.T) {
	config := `
[[polydir]]
path            = "/srv/scratch"
instance_prefix = "/var/lib/polyinst/scratch/"
method          = "user"
create          = { mode = "1777", owner = "root", group = "root" }
[[polydir]]
path            = "$HOME/.cache"
instance_prefix = "$HOME/.inst/$USER-"
method          = "user"
create          = { mode = "0750" }
parent_in_unsafe_dir = true
except = ["root"]
`
	kit.Story(t, config, []string{"su"}, func(h *host.Host) {
		u := h.AddUser("alice")
		h.MustRun("su", "alice", "-c", "touch /srv/scratch/mine ~/.cache/mine")
		mode, uid, _ := h.Mode("/srv/scratch")
		host.Equal(h, "the made polydir", [2]int{int(mode), uid}, [2]int{0o1777, 0})
		mode, uid, gid := h.Mode("/home/alice/.cache")
		host.Equal(h, "the one in the home", [3]int{int(mode), uid, gid}, [3]int{0o750, u.UID, u.UID})
		mode, uid, _ = h.Mode("/home/alice/.inst")
		host.Equal(h, "the parent in the home", [2]int{int(mode), uid}, [2]int{0, 0})
		mode, uid, _ = h.Mode("/home/alice/.inst/alice-alice")
		host.Equal(h, "the instance", [2]int{int(mode), uid}, [2]int{0o750, u.UID})
		if h.Exists("/srv/scratch/mine") || h.Exists("/home/alice/.cache/mine") {
			t.Error("alice wrote into the public directories")
		}
	})
}

// In a directory of the user's own nothing is made with root's rights.
func TestCreateFollowsNoLink(t *testing.T) {
	config := strings.ReplaceAll(kit.OwnTmp, `"/tmp"`, `"$HOME/a"`) + "create = { mode = \"0777\" }\n"
	kit.Story(t, config, []string{"su"}, func(h *host.Host) {
		u := h.AddUser("alice")
		h.Mkdir("/srv/roots", 0o700, 0, 0)
		h.MustRun("ln", "-s", "/srv/roots", "/home/alice/a")
		h.MustRun("chown", "-h", "alice", "/home/alice/a")
		r := h.Su("alice", "true")
		if r.Code == 0 {
			t.Errorf("a link was followed:\n%s", r)
		}
		mode, uid, _ := h.Mode("/srv/roots")
		host.Equal(h, "the target of the link", [2]int{int(mode), uid}, [2]int{0o700, 0})
		_ = u
	})
}

// A polydir inside another one's instance, on a new instance and on an old one.
func TestPolydirInPolydir(t *testing.T) {
	config := `
[[polydir]]
path            = "/tmp/inner"
instance_prefix = "/var/lib/polyinst/inner/"
method          = "user"
create          = { mode = "0700" }
except          = ["root"]
` + kit.OwnTmp
	kit.Story(t, config, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		for range 2 {
			seen := h.MustRun("su", "alice", "-c", kit.WhichTmp+"; stat -c %d:%i /tmp/inner; touch /tmp/inner/f")
			outer, inner, _ := strings.Cut(seen, "\n")
			kit.InInstance(h, "the outer one", "alice", outer)
			host.Equal(h, "the inner one", inner, h.FileID("/var/lib/polyinst/inner/alice"))
		}
		if h.Exists("/tmp/inner") {
			t.Error("the inner polydir was made in the public /tmp")
		}
	})
}

// One directory under two names: by a symbolic link it is one mount point, and the
// session is refused; by a bind mount it is two, and both are covered. explain,
// check and try say what the login does.
func TestOneDirectoryTwice(t *testing.T) {
	for name, c := range map[string]struct {
		setup, path, refused string
	}{
		"link":              {"ln -s /tmp /srv/other", "/srv/other", `is the same directory as polydir "/tmp", by a symbolic link`},
		"link, deeper":      {"mkdir /srv/a; ln -s /tmp /srv/a/other", "/srv/a/other", `is the same directory as polydir "/tmp", by a symbolic link`},
		"bind mount":        {"mkdir /srv/other; mount --bind /tmp /srv/other", "/srv/other", ""},
		"link into another": {"mkdir /tmp/vt; ln -s /tmp/vt /srv/other", "/srv/other", `leads by a symbolic link into polydir "/tmp", whose instance has no such directory: make /srv/other a directory of its own`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := kit.OwnTmp + strings.NewReplacer(`"/tmp"`, `"`+c.path+`"`, "polyinst/tmp", "polyinst/other").Replace(kit.OwnTmp)
			kit.Story(t, config, []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				h.Sh(c.setup)
				for range 2 { // the second time the instance of /tmp is there
					explained := h.Cmd("polyinst", "explain", "alice", "--service", "su")
					checked := h.Cmd("polyinst", "check")
					tried := h.Cmd("polyinst", "try", "alice", "--", "true")
					r := h.Su("alice", "stat -c %d:%i /tmp "+c.path)
					host.Equal(h, "refused", r.Code != 0, c.refused != "")
					host.Equal(h, "try refuses", tried.Code != 0, c.refused != "")
					if c.refused != "" {
						h.WaitLog(regexp.QuoteMeta(c.refused))
					}
					host.Equal(h, "explain says so", strings.Contains(explained.Stdout, "REFUSED: "), c.refused != "")
					host.Equal(h, "explain says why", strings.Contains(explained.Stdout, c.refused), true)
					host.Equal(h, "check says so", checked.Code != 0, c.refused != "")
					if c.refused == "" {
						outer, inner, _ := strings.Cut(strings.TrimSpace(r.Stdout), "\n")
						kit.InInstance(h, "/tmp", "alice", outer)
						host.Equal(h, c.path, inner, h.FileID("/var/lib/polyinst/other/alice"))
					}
					h.Sh("mkdir -p /var/lib/polyinst/tmp/alice && chmod 1777 /var/lib/polyinst/tmp/alice")
				}
			})
		})
	}
}

// A link of root's on the way to a polydir is followed, and the mount flags of
// the polydir's own mount are kept.
func TestLinkAndFlags(t *testing.T) {
	config := strings.Replace(kit.OwnTmp, `"/tmp"`, `"/srv/link"`, 1)
	kit.Story(t, config, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Mkdir("/srv/real", 0o755, 0, 0)
		h.MustRun("ln", "-s", "/srv/real", "/srv/link")
		h.MustRun("mount", "-t", "tmpfs", "-o", "noexec,mode=1777", "real", "/srv/real")
		h.MustRun("su", "alice", "-c", "cp /bin/true /srv/link/true")
		r := h.Su("alice", "findmnt -no OPTIONS /srv/real; /srv/link/true")
		h.Match("its flags", r.Stdout, `nosuid.*nodev.*noexec`)
		if r.Code == 0 {
			t.Error("a program ran on a noexec directory")
		}
	})
}

func TestMountOptions(t *testing.T) {
	for keys, want := range map[string]string{
		``:                                      `^rw,nosuid,nodev,`,
		`mount_options = []`:                    `^rw,relatime`,
		`mount_options = ["noexec", "ro"]`:      `^ro,noexec`,
		`mount_options = ["nosymfollow"]`:       `nosymfollow`,
		`mount_options = ["nosuid", "noexec"] `: `^rw,nosuid,noexec,`,
	} {
		t.Run(keys, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp+keys+"\n", []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				h.Match("the options", h.MustRun("su", "alice", "-c", "findmnt -no OPTIONS /tmp"), want)
			})
		})
	}
}

func TestDropins(t *testing.T) {
	kit.Story(t, "[namespace]\npolydirs = \"none\"\n", []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Prepare(kit.TmpParent)
		h.MustRun("mkdir", "-p", "/etc/security/polyinst/namespace.d", "/usr/share/polyinst/namespace.d")
		kit.SeesOwnTmp(h, "alice", false)
		h.WriteFile("/usr/share/polyinst/namespace.d/10-tmp.conf", kit.OwnTmp)
		kit.SeesOwnTmp(h, "alice", true)
		// one in /etc takes the place of the vendor's
		h.WriteFile("/etc/security/polyinst/namespace.d/10-tmp.conf", "")
		kit.SeesOwnTmp(h, "alice", false)
		h.WriteFile("/etc/security/polyinst/namespace.d/20-tmp.conf", kit.OwnTmp)
		kit.SeesOwnTmp(h, "alice", true)
		h.WriteFile("/etc/security/polyinst/namespace.d/30-bad.conf", "[namespace]\n")
		if r := h.Su("alice", "true"); r.Code == 0 {
			t.Errorf("[namespace] in a drop-in:\n%s", r)
		}
		// another main file has drop-ins of its own
		h.WriteFile("/etc/other/main.conf", "")
		h.WriteFile("/etc/other/namespace.d/1.conf", kit.OwnTmp)
		h.PAM("su", host.Stack(kit.Session+" conf=/etc/other/main.conf")...)
		kit.SeesOwnTmp(h, "alice", true)
	})
}

func TestVendorFile(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("mkdir", "-p", "/usr/share/polyinst")
		h.MustRun("mv", host.ConfigFile, "/usr/share/polyinst/namespace.conf")
		kit.SeesOwnTmp(h, "alice", true)
	})
}

// Twenty first logins of one user at once make one instance.
func TestFirstLoginsAtOnce(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		out := h.Sh("for i in $(seq 20); do su alice -c '" + kit.WhichTmp + "; echo x >> /tmp/all' & done; wait")
		for _, seen := range strings.Fields(out) {
			kit.InInstance(h, "one of twenty", "alice", seen)
		}
		host.Equal(h, "lines", strings.Count(h.ReadFile(kit.Instance("alice")+"/all"), "x"), 20)
	})
}

// An account that got another's name does not get the other's files.
func TestNameOfAnother(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice", host.User{UID: 3001})
		h.MustRun("su", "alice", "-c", "echo secret > /tmp/s")
		h.RemoveUser("alice")
		h.AddUser("alice", host.User{UID: 3002})
		if r := h.Su("alice", "cat /tmp/s"); r.Code == 0 {
			t.Errorf("the new alice reads the old one's files:\n%s", r)
		}
		h.WaitLog("polyinst prepare --aside " + kit.Instance("alice"))
		sure := h.FileID(kit.Instance("alice"))
		for _, flags := range []string{"", "--orphans --orphaned-for 0d --yes"} {
			h.Sh("polyinst gc " + flags) // nobody knows that it is not the same person
			host.Equal(h, "the instance", h.FileID(kit.Instance("alice")), sure)
		}
		h.MustRun("polyinst", "prepare", "--aside", kit.Instance("alice"))
		host.Equal(h, "files", h.MustRun("su", "alice", "-c", "ls /tmp"), "")
		aside := kit.Instance("alice.uid-3001")
		host.Equal(h, "the old files", h.FileID(aside), sure)
		h.Match("too early", h.MustRun("polyinst", "gc", "--orphans"), "kept "+aside+": .*opened 0 days ago")
		host.Equal(h, "the old files", h.FileID(aside), sure)
		h.MustRun("polyinst", "gc", "--orphans", "--orphaned-for", "0d")
		if h.Exists(aside) {
			t.Error("what nobody can use any more is there")
		}
		kit.SeesOwnTmp(h, "alice", true)
	})
}

// A home with the set-group-id bit hands it on to what is made in it: the
// instance parent is root's with mode 0000 all the same.
func TestParentInAHomeWithTheSetGroupIDBit(t *testing.T) {
	kit.Story(t, kit.ParentInHome, []string{"pamhost"}, func(h *host.Host) {
		u := h.AddUser("alice")
		h.Mkdir("/home/alice/box", 0o700, u.UID, u.UID)
		h.MustRun("chmod", "2755", "/home/alice")
		for range 2 {
			h.PamHost(kit.Steps("open", "exec:touch /home/alice/box/mine", "close", "end")...).RC("open", host.PAMSuccess)
		}
		mode, uid, gid := h.Mode("/home/alice/.inst")
		host.Equal(h, "the parent", [3]int{int(mode), uid, gid}, [3]int{0, 0, 0})
	})
}

// Where the filesystem has no project quota, a limit is not silently left out:
// the session is refused before anything is made.
func TestQuotaThatCannotBe(t *testing.T) {
	kit.Story(t, kit.OwnTmp+"quota = { bytes = \"1G\" }\n", []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		if r := h.Su("alice", "true"); r.Code == 0 {
			t.Errorf("a session without the limit:\n%s", r)
		}
		h.WaitLog(`session refused for "alice": polydir "/tmp": quota: instance parent "/var/lib/polyinst/tmp": no project quota on its filesystem`)
		host.Equal(h, "what was made", len(h.Names(kit.TmpParent)), 0)
		h.MustRun("su", "root", "-c", "true")
	})
}
