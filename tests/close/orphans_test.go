package close

import (
	"fmt"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// orphans runs gc --orphans with flags, and returns the result.
func orphans(h *host.Host, flags ...string) host.Result {
	h.T.Helper()
	return h.Cmd(append([]string{"polyinst", "gc", "--orphans"}, flags...)...)
}

// opened makes instances with a file in each, by su, as of so many days ago.
func opened(h *host.Host, days int, users ...string) {
	h.T.Helper()
	for _, user := range users {
		h.MustRun("su", user, "-c", "echo precious > /tmp/file")
		h.MustRun("touch", "-d", fmt.Sprint(days, " days ago"), kit.TmpParent+"/.lock/"+user)
	}
}

// While a part of the directory cannot be asked, nobody is an orphan: not who is
// in it, and not who is really gone.
func TestOrphansWhileTheDirectoryIsDown(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		d := h.Directory()
		dana := "user dana 5000 5000 /home/dana"
		d.Says(dana)
		h.Mkdir("/home/dana", 0o700, 5000, 5000)
		h.PAM("su", append([]string{"account sufficient pam_permit.so"}, host.Stack(kit.Session)...)...)
		h.AddUser("gone")
		opened(h, 90, "dana", "gone")
		h.RemoveUser("gone")
		sure := h.FileID(kit.Instance("dana")) + h.FileID(kit.Instance("gone"))
		for _, function := range []string{"getpwuid", "getpwnam"} {
			for _, a := range kit.DownAnswers {
				// of the other question it says that it knows nobody
				other := map[string]string{"getpwuid": "getpwnam", "getpwnam": "getpwuid"}[function]
				d.Says("say "+function+" "+a, "say "+other+" 0 2")
				r := orphans(h, "--orphaned-for", "0d", "--yes")
				if r.Code != 1 || !strings.Contains(r.Stderr, "no instance is taken for an orphan") {
					t.Errorf("%s answers %s:\n%s", function, a, r)
				}
				if h.FileID(kit.Instance("dana"))+h.FileID(kit.Instance("gone")) != sure {
					t.Fatalf("%s answers %s: data is gone", function, a)
				}
			}
		}
		h.Match("list", h.MustRun("polyinst", "list", "--instances"), `unknown: whether there is an account .*source "liar" of /etc/nsswitch\.conf answers`)
		for _, conf := range []string{"passwd: files sss\n", "passwd: files nowhere\n", "group: files\n", "", "passwd:\n", "passwd: [x\n"} {
			h.WriteFile("/etc/nsswitch.conf", conf)
			if r := orphans(h, "--orphaned-for", "0d", "--yes"); r.Code != 1 || !h.Exists(kit.Instance("gone")) || !h.Exists(kit.Instance("dana")) {
				t.Errorf("nsswitch.conf %q:\n%s", conf, r)
			}
		}
		h.WriteFile("/etc/nsswitch.conf", "passwd: files [NOTFOUND=return] liar\n")
		d.Says(dana)
		h.Match("up again", orphans(h).Stdout, "removed "+kit.Instance("gone"))
		host.Equal(h, "dana, whom libc does not come to", h.FileID(kit.Instance("dana"))+h.FileID(kit.Instance("dana")), sure[:len(sure)/2]+sure[:len(sure)/2])
	})
}

// An orphan is judged by name and uid, and by its age.
func TestOrphans(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		for i, user := range []string{"gone", "fresh", "renamed", "moved", "stays", "other"} {
			h.AddUser(user, host.User{UID: 3001 + i})
			opened(h, 31, user)
		}
		h.MustRun("touch", kit.TmpParent+"/.lock/fresh")
		for _, user := range []string{"gone", "fresh", "renamed", "moved"} {
			h.RemoveUser(user)
		}
		h.AddUser("newname", host.User{UID: 3003})
		h.AddUser("moved", host.User{UID: 4004})
		hash := "0123456789abcdef0123456789abcdef"
		h.Mkdir(kit.Instance(hash), 0o1777, 0, 0)
		h.Mkdir(kit.TmpParent+"/.lock/"+hash, 0o700, 9999, 0)
		h.MustRun("touch", "-d", "99 days ago", kit.TmpParent+"/.lock/"+hash)

		list := h.MustRun("polyinst", "list", "--instances")
		for _, want := range []string{
			`uid 3001 .* stale: there is no account with uid 3001 any more, and none of this name +` + kit.Instance("gone"),
			`uid 3003 .* idle: there is no account of this name any more, and uid 3003 is "newname": .* ` + kit.Instance("renamed"),
			`idle: it was made for uid 3004, and "moved" has uid 4004: .* ` + kit.Instance("moved"),
			`stays .* idle +` + kit.Instance("stays"),
		} {
			h.Match("list", list, want)
		}
		r := orphans(h, "--dry-run")
		h.Match("dry run", r.Stdout, `would remove `+kit.Instance("gone")+`: there is no account with uid 3001`)
		h.Match("its end", r.Stdout, `to be removed: 1 instance, 4 kept`)
		for user, why := range map[string]string{"fresh": "opened 0 days ago", "renamed": "uid 3003 is", "moved": "has uid 4004", hash: "the name is a hash"} {
			h.Match(user, r.Stdout, `kept `+kit.Instance(user)+`: .*`+why)
		}
		h.MustRun("polyinst", "gc", "--orphans")
		host.Equal(h, "left", strings.Join(kit.Instances(h), " "), strings.Join([]string{hash, "fresh", "moved", "other", "renamed", "stays"}, " "))
		h.MustRun("polyinst", "gc", "--orphans", "--orphaned-for", "0d", "--reused-uids")
		host.Equal(h, "left", strings.Join(kit.Instances(h), " "), strings.Join([]string{hash, "moved", "other", "stays"}, " "))
		host.Equal(h, "without --orphans", h.Cmd("polyinst", "gc", "--yes").Code, 2)
	})
}

// What a user puts where a parent in a home would be hides no orphan elsewhere.
func TestOrphansBesideABadParent(t *testing.T) {
	kit.Story(t, kit.OwnTmp+strings.Replace(kit.ParentInHome, "/tmp", "/var/tmp", 1), []string{"su"}, func(h *host.Host) {
		h.AddUser("bob")
		h.AddUser("gone")
		h.Mkdir(kit.Instance("gone"), 0o1777, 0, 0)
		h.Mkdir(kit.TmpParent+"/.lock", 0o700, 0, 0)
		h.Mkdir(kit.TmpParent+"/.lock/gone", 0o700, 9999, 0)
		h.RemoveUser("gone")
		h.MustRun("ln", "-s", "/etc", "/home/bob/.inst")
		h.MustRun("chown", "-h", "bob", "/home/bob/.inst")
		h.Match("gc", orphans(h, "--orphaned-for", "0d").Stdout, "removed "+kit.Instance("gone"))
	})
}

// Many accounts that are gone at once are perhaps a directory that lost them.
func TestOrphansManyAtOnce(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		make := func(from, to int) {
			for i := from; i < to; i++ {
				h.Mkdir(kit.Instance(fmt.Sprint("u", i)), 0o1777, 0, 0)
				h.Mkdir(fmt.Sprint(kit.TmpParent, "/.lock/u", i), 0o700, 3000+i, 0)
			}
		}
		h.AddUser("alice")
		h.MustRun("su", "alice", "-c", "true")
		for n, yes := range map[int]bool{3: false, 4: true, 30: true} {
			make(0, n)
			r := orphans(h, "--orphaned-for", "0d")
			removed := len(kit.Instances(h)) == 1
			if removed == yes || (r.Code == 1) != yes || yes != strings.Contains(r.Stderr, fmt.Sprintf("the accounts of %d of %d users are gone, with %d instances", n, n+1, n)) {
				t.Errorf("%d accounts are gone:\n%s", n, r)
			}
			if yes {
				r := orphans(h, "--orphaned-for", "0d", "--dry-run")
				h.Match("dry run", r.Stdout, fmt.Sprintf("to be removed: %d instances", n))
			}
			orphans(h, "--orphaned-for", "0d", "--yes")
			host.Equal(h, "left", strings.Join(kit.Instances(h), " "), "alice")
		}
	})
}

// usermod -u: the data goes along where root says that it is the same person's.
func TestChangedUID(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice", host.User{UID: 3001, GID: 3001})
		h.AddUser("bob", host.User{UID: 3009})
		h.MustRun("su", "alice", "-c", "mkdir -p /tmp/d/e; echo precious > /tmp/d/file; ln -s /srv/hers /tmp/d/link; chmod 4755 /tmp/d/file")
		h.WriteFile("/srv/hers", "x")
		h.MustRun("chown", "3001", "/srv/hers")
		h.WriteFile(kit.Instance("alice")+"/bobs", "x")
		h.MustRun("chown", "3009", kit.Instance("alice")+"/bobs")
		h.RemoveUser("alice")
		h.AddUser("alice", host.User{UID: 3777, GID: 3001})
		host.Equal(h, "login", h.Su("alice", "true").Code, 1)
		path := kit.Instance("alice")
		advice := "polyinst prepare --repair " + path + " --from-uid 3001"
		h.WaitLog(advice)
		for _, wrong := range []string{"", " --from-uid 3009", " --from-uid 0"} {
			r := h.Cmd(strings.Fields("polyinst prepare --repair " + path + wrong)...)
			if _, uid, _ := h.Mode(path + "/d/file"); r.Code == 0 || uid != 3001 {
				t.Errorf("repaired without a word whose it is (%q):\n%s", wrong, r)
			}
		}
		// one that is in use is not touched
		p := h.Start("flock", "-s", kit.TmpParent+"/.lock/alice", "sh", "-c", "echo ready; cat")
		p.Expect("ready")
		h.Match("held", h.Cmd(strings.Fields(advice)...).Stderr, "a session is being opened with it")
		p.CloseInput()
		p.Wait()
		h.Match("repair", h.MustRun(strings.Fields(advice)...), `gave `+path+` to alice: .*3001.* is uid 3777's\nrepaired `)
		kit.SeesOwnTmp(h, "alice", true)
		host.Equal(h, "the file", h.MustRun("su", "alice", "-c", "cat /tmp/d/file; rmdir /tmp/d/e"), "precious")
		for file, want := range map[string]int{path + "/d": 3777, path + "/d/file": 3777, path + "/bobs": 3009, "/srv/hers": 3001, path: 0} {
			if _, uid, _ := h.Mode(file); uid != want {
				t.Errorf("%s: uid %d, want %d", file, uid, want)
			}
		}
	})
}

// usermod -l: what was alice's is alicia's by its uid, and moves with its lock.
func TestRename(t *testing.T) {
	config := kit.OwnTmp + strings.NewReplacer("/tmp", "/var/tmp", "polyinst/tmp/", "polyinst/var/$USER/x-").Replace(kit.OwnTmp)
	kit.Story(t, config, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice", host.User{UID: 3001, GID: 3001})
		h.AddUser("bob")
		h.MustRun("polyinst", "prepare")
		h.MustRun("su", "alice", "-c", "echo precious > /tmp/file; echo second > /var/tmp/file")
		h.MustRun("su", "bob", "-c", "true")
		before := h.FileID(kit.Instance("alice"))
		h.Match("she exists", h.Cmd("polyinst", "rename", "alice", "bob").Stderr, `the account "alice" exists`)
		h.RemoveUser("alice")
		h.Match("another uid", h.Cmd("polyinst", "rename", "alice", "bob").Stderr, `nothing is moved: .*was made for uid 3001, not `)
		h.AddUser("alicia", host.User{UID: 3001, GID: 3001})
		h.Match("no parent yet", h.Cmd("polyinst", "rename", "alice", "alicia").Stderr, `nothing is moved: .*var/alicia: no such file`)
		h.MustRun("polyinst", "prepare")
		h.Match("nobody's", h.Cmd("polyinst", "rename", "nobody-at-all", "alicia").Stderr, `no instance with the name of`)
		// a login that was faster
		h.Mkdir(kit.Instance("alicia"), 0o1777, 0, 0)
		h.Match("there", h.Cmd("polyinst", "rename", "alice", "alicia").Stderr, `nothing is moved: .*alicia: there is something already`)
		h.MustRun("rmdir", kit.Instance("alicia"))
		p := h.Start("flock", "-s", kit.TmpParent+"/.lock/alice", "sh", "-c", "echo ready; cat")
		p.Expect("ready")
		h.Match("held", h.Cmd("polyinst", "rename", "alice", "alicia").Stderr, "nothing is moved: .*a session is being opened")
		p.CloseInput()
		p.Wait()
		h.Match("dry run", h.MustRun("polyinst", "rename", "alice", "alicia", "--dry-run"), "would move "+kit.Instance("alice")+" to "+kit.Instance("alicia"))
		h.MustRun("polyinst", "rename", "alice", "alicia")
		host.Equal(h, "the instance", h.FileID(kit.Instance("alicia")), before)
		host.Equal(h, "her files", h.MustRun("su", "alicia", "-c", "cat /tmp/file /var/tmp/file"), "precious\nsecond")
		host.Equal(h, "the locks", strings.Join(h.Names(kit.TmpParent+"/.lock"), " "), "alicia bob")
		mode, uid, _ := h.Mode(kit.TmpParent + "/.lock/alicia")
		host.Equal(h, "the lock", fmt.Sprintf("%o %d", mode, uid), "700 3001")
	})
}

// Where instances are named after uids, a new uid takes them along.
func TestRenameByUID(t *testing.T) {
	kit.Story(t, kit.OwnTmp+"instance_name = \"$UID\"\n", []string{"su"}, func(h *host.Host) {
		h.AddUser("alice", host.User{UID: 3001})
		h.MustRun("su", "alice", "-c", "echo precious > /tmp/file")
		h.Match("she has it", h.Cmd("polyinst", "rename", "3001", "alice").Stderr, "there is an account with uid 3001")
		h.RemoveUser("alice")
		h.AddUser("alice", host.User{UID: 3777})
		h.MustRun("polyinst", "rename", "3001", "alice")
		host.Equal(h, "the file", h.MustRun("su", "alice", "-c", "cat /tmp/file; rm /tmp/file"), "precious")
		host.Equal(h, "the instances", strings.Join(kit.Instances(h), " "), "3777")
		// cut short behind the move
		h.MustRun("chown", "3001", kit.TmpParent+"/.lock/3777")
		host.Equal(h, "login", h.Su("alice", "true").Code, 1)
		h.MustRun("polyinst", "prepare", "--repair", kit.Instance("3777"), "--from-uid", "3001")
		h.MustRun("su", "alice", "-c", "true")
	})
}

// A renamed account is told of its old instance, and takes it along by what is
// said, also after its first session.
func TestRenamedAccountIsTold(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice", host.User{UID: 3001})
		h.AddUser("bob")
		h.MustRun("su", "bob", "-c", "true")
		h.MustRun("su", "alice", "-c", "echo precious > /tmp/file")
		h.RemoveUser("alice")
		h.AddUser("alicia", host.User{UID: 3001})
		h.Match("explain", h.MustRun("polyinst", "explain", "alicia", "--service", "su"), `leave the instance "alice", which was made for the same uid`)
		h.MustRun("su", "alicia", "-c", "echo new > /tmp/file")
		h.WaitLog(`a new instance is made for "alicia", beside "alice", which was made for the same uid`)
		h.MustRun("polyinst", "prepare", "--aside", kit.Instance("alicia"))
		h.MustRun("polyinst", "rename", "alice", "alicia")
		host.Equal(h, "the file", h.MustRun("su", "alicia", "-c", "cat /tmp/file"), "precious")
		host.Equal(h, "the other", h.ReadFile(kit.Instance("alicia.uid-3001")+"/file"), "new\n")
		h.ForgetLog()
		h.AddUser("carol")
		h.MustRun("su", "carol", "-c", "true")
		if strings.Contains(fmt.Sprint(h.ModuleLog()), "same uid") {
			t.Error("carol is told of another's instance")
		}
	})
}

// Nothing is moved or given away from under a session.
func TestNothingMovesUnderASession(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice", host.User{UID: 3001})
		p := h.Start("su", "alice", "-c", "echo hers > /tmp/file; echo ready; cat")
		p.Expect("ready")
		h.RemoveUser("alice")
		h.AddUser("alicia", host.User{UID: 3001})
		tries := []string{"rename alice alicia", "prepare --aside " + kit.Instance("alice")}
		for i, try := range append(tries, "prepare --repair "+kit.Instance("alice")+" --from-uid 3001") {
			if i == len(tries) {
				h.RemoveUser("alicia")
				h.AddUser("alice", host.User{UID: 3002})
			}
			r := h.Cmd(strings.Fields("polyinst " + try)...)
			host.Equal(h, try, r.Code, 1)
			h.Match(try, r.Stderr, "a session uses it")
			if _, uid, _ := h.Mode(kit.Instance("alice") + "/file"); uid != 3001 {
				t.Errorf("%s: the file is uid %d's", try, uid)
			}
		}
		p.CloseInput()
		p.Wait()
		h.MustRun("polyinst", "prepare", "--aside", kit.Instance("alice"))
	})
}

// Who comes back and logs in between the judgement and the removal keeps the
// data.
func TestOrphanThatComesBack(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice", host.User{UID: 3001})
		opened(h, 90, "alice")
		h.RemoveUser("alice")
		gc := h.Start("strace", "-f", "-qq", "-e", "trace=flock", "-e", "inject=flock:delay_enter=1500000", "polyinst", "gc", "--orphans")
		gc.Expect(`flock\(`)
		h.AddUser("alice", host.User{UID: 3001})
		h.MustRun("su", "alice", "-c", "true")
		gc.Wait()
		host.Equal(h, "the file", h.ReadFile(kit.Instance("alice")+"/file"), "precious\n")
	})
}

// An opener that has the lock open while the instance is moved does not take it
// for the lock of the name that is free now.
func TestAsideWhileASessionOpens(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice", host.User{UID: 3001})
		h.MustRun("su", "alice", "-c", "echo precious > /tmp/file")
		lock := h.FileID(kit.TmpParent + "/.lock/alice")
		su := h.Start("strace", "-f", "-qq", "-e", "trace=flock", "-e", "inject=flock:delay_enter=1500000", "-P", kit.TmpParent+"/.lock/alice", "su", "alice", "-c", "touch /tmp/new")
		su.Expect(`flock\(`)
		h.MustRun("polyinst", "prepare", "--aside", kit.Instance("alice"))
		host.Equal(h, "the lock is another", h.FileID(kit.TmpParent+"/.lock/alice.uid-3001") != lock, true)
		host.Equal(h, "su", su.Wait().Code, 0)
		host.Equal(h, "the new instance", strings.Join(h.Names(kit.Instance("alice")), " "), "new")
		h.MustRun("polyinst", "gc")
		host.Equal(h, "the file", h.ReadFile(kit.Instance("alice.uid-3001")+"/file"), "precious\n")
	})
}
