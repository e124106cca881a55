package tests

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// sees tells whether a user's /tmp by su is his own.
func sees(h *host.Host, user string, own bool) {
	h.T.Helper()
	seen := h.MustRun("su", user, "-c", place)
	if own {
		inInstance(h, "su "+user, user, seen)
	} else {
		inPublic(h, "su "+user, seen)
	}
}

func TestUserLists(t *testing.T) {
	base := strings.Replace(ownTmp, `except          = ["root"]`, "", 1)
	for keys, own := range map[string]map[string]bool{
		`except = ["alice"]`:                         {"alice": false, "bob": true, "root": true},
		`except = ["@project", "root"]`:              {"alice": true, "bob": false, "root": false},
		`except = ["uid:3001-3002"]`:                 {"alice": false, "bob": true},
		`only = ["@project"]`:                        {"alice": false, "bob": true, "root": false},
		`only = ["uid:3001"]`:                        {"alice": false, "bob": true},
		`only = ["@no-such-group"]`:                  {"alice": true, "bob": true, "root": true},
		`except = ["@no-such-group", "no-such-one"]`: {"alice": true, "bob": true},
		`services = ["login"]`:                       {"alice": false},
		`services = ["login", "su"]`:                 {"alice": true},
	} {
		t.Run(keys, func(t *testing.T) {
			t.Parallel()
			uids := map[string]int{"alice": 3002, "bob": 3001}
			if strings.Contains(keys, `"uid:3001-3002"`) {
				uids["bob"] = 3003
			}
			story(t, base+keys+"\n", []string{"su"}, func(h *host.Host) {
				h.AddUser("alice", host.User{UID: uids["alice"]})
				h.AddUser("bob", host.User{UID: uids["bob"]})
				h.AddGroup("project", "bob")
				for user, want := range own {
					sees(h, user, want)
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
	story(t, config, []string{"su"}, func(h *host.Host) {
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
	config := strings.ReplaceAll(ownTmp, `"/tmp"`, `"$HOME/a"`) + "create = { mode = \"0777\" }\n"
	story(t, config, []string{"su"}, func(h *host.Host) {
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
` + ownTmp
	story(t, config, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		for range 2 {
			seen := h.MustRun("su", "alice", "-c", place+"; stat -c %d:%i /tmp/inner; touch /tmp/inner/f")
			outer, inner, _ := strings.Cut(seen, "\n")
			inInstance(h, "the outer one", "alice", outer)
			host.Equal(h, "the inner one", inner, h.Place("/var/lib/polyinst/inner/alice"))
		}
		if h.Exists("/tmp/inner") {
			t.Error("the inner polydir was made in the public /tmp")
		}
	})
}

func TestOneDirectoryTwice(t *testing.T) {
	config := ownTmp + strings.NewReplacer(`"/tmp"`, `"/srv/link"`, "polyinst/tmp", "polyinst/other").Replace(ownTmp)
	story(t, config, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("ln", "-s", "/tmp", "/srv/link")
		if r := h.Su("alice", "true"); r.Code == 0 {
			t.Errorf("two instances on one directory:\n%s", r)
		}
		h.WaitLog("is the same directory as polydir")
	})
}

// A link of root's on the way to a polydir is followed, and the mount flags of
// the polydir's own mount are kept.
func TestLinkAndFlags(t *testing.T) {
	config := strings.Replace(ownTmp, `"/tmp"`, `"/srv/link"`, 1)
	story(t, config, []string{"su"}, func(h *host.Host) {
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
			story(t, ownTmp+keys+"\n", []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				h.Match("the options", h.MustRun("su", "alice", "-c", "findmnt -no OPTIONS /tmp"), want)
			})
		})
	}
}

func TestDropins(t *testing.T) {
	story(t, "", []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Prepare(parent)
		h.MustRun("mkdir", "-p", "/etc/security/polyinst/namespace.d", "/usr/share/polyinst/namespace.d")
		sees(h, "alice", false)
		h.WriteFile("/usr/share/polyinst/namespace.d/10-tmp.conf", ownTmp)
		sees(h, "alice", true)
		// one in /etc takes the place of the vendor's
		h.WriteFile("/etc/security/polyinst/namespace.d/10-tmp.conf", "")
		sees(h, "alice", false)
		h.WriteFile("/etc/security/polyinst/namespace.d/20-tmp.conf", ownTmp)
		sees(h, "alice", true)
		h.WriteFile("/etc/security/polyinst/namespace.d/30-bad.conf", "[namespace]\n")
		if r := h.Su("alice", "true"); r.Code == 0 {
			t.Errorf("[namespace] in a drop-in:\n%s", r)
		}
		// another main file has drop-ins of its own
		h.WriteFile("/etc/other/main.conf", "")
		h.WriteFile("/etc/other/namespace.d/1.conf", ownTmp)
		h.PAM("su", host.Stack(session+" conf=/etc/other/main.conf")...)
		sees(h, "alice", true)
	})
}

func TestVendorFile(t *testing.T) {
	story(t, ownTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("mkdir", "-p", "/usr/share/polyinst")
		h.MustRun("mv", host.ConfigFile, "/usr/share/polyinst/namespace.conf")
		sees(h, "alice", true)
	})
}

// Twenty first logins of one user at once make one instance.
func TestFirstLoginsAtOnce(t *testing.T) {
	story(t, ownTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		out := h.Sh("for i in $(seq 20); do su alice -c '" + place + "; echo x >> /tmp/all' & done; wait")
		for _, seen := range strings.Fields(out) {
			inInstance(h, "one of twenty", "alice", seen)
		}
		host.Equal(h, "lines", strings.Count(h.ReadFile(instance("alice")+"/all"), "x"), 20)
	})
}

// An account that got another's name does not get his files.
func TestNameOfAnother(t *testing.T) {
	story(t, ownTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice", host.User{UID: 3001})
		h.MustRun("su", "alice", "-c", "echo secret > /tmp/s")
		h.RemoveUser("alice")
		h.AddUser("alice", host.User{UID: 3002})
		if r := h.Su("alice", "cat /tmp/s"); r.Code == 0 {
			t.Errorf("the new alice reads the old one's files:\n%s", r)
		}
		h.WaitLog("gc --orphans")
		h.Match("the list", h.MustRun("polyinst", "gc", "--orphans", "--dry-run"), "would remove "+instance("alice"))
		sure := h.Place(instance("alice"))
		h.MustRun("polyinst", "gc") // alone it touches nothing persistent
		host.Equal(h, "the instance", h.Place(instance("alice")), sure)
		h.MustRun("polyinst", "gc", "--orphans")
		host.Equal(h, "files", h.MustRun("su", "alice", "-c", "ls /tmp"), "")
	})
}

// A home with the set-group-id bit hands it on to what is made in it: the
// instance parent is root's with mode 0000 all the same.
func TestParentInAHomeWithTheSetGroupIDBit(t *testing.T) {
	story(t, parentInHome, []string{"pamhost"}, func(h *host.Host) {
		u := h.AddUser("alice")
		h.Mkdir("/home/alice/box", 0o700, u.UID, u.UID)
		h.MustRun("chmod", "2755", "/home/alice")
		for range 2 {
			h.PamHost(script("open", "exec:touch /home/alice/box/mine", "close", "end")...).RC("open", host.PAMSuccess)
		}
		mode, uid, gid := h.Mode("/home/alice/.inst")
		host.Equal(h, "the parent", [3]int{int(mode), uid, gid}, [3]int{0, 0, 0})
	})
}

// Where the filesystem has no project quota, a limit is not silently left out:
// the session is refused before anything is made.
func TestQuotaThatCannotBe(t *testing.T) {
	story(t, ownTmp+"quota = { bytes = \"1G\" }\n", []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		if r := h.Su("alice", "true"); r.Code == 0 {
			t.Errorf("a session without the limit:\n%s", r)
		}
		h.WaitLog(`session refused for "alice": polydir "/tmp": quota: instance parent "/var/lib/polyinst/tmp": no project quota on its filesystem`)
		host.Equal(h, "what was made", len(h.Names(parent)), 0)
		h.MustRun("su", "root", "-c", "true")
	})
}
