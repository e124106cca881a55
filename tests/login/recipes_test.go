package login

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// recipe is one of docs/recipes.md, as it stands there.
type recipe struct {
	toml string
	pam  []string // lines of the session stack
}

// recipes are those of the page, by their headings.
func recipes(t *testing.T) map[string]recipe {
	t.Helper()
	page := kit.ReadDoc(t, "docs/recipes.md")
	block := func(text, kind string) string {
		if m := regexp.MustCompile("(?s)```" + kind + "\n(.*?)```").FindStringSubmatch(text); m != nil {
			return m[1]
		}
		return ""
	}
	sections := strings.Split(page, "\n## ")
	usual := block(sections[0], "pam")
	out := map[string]recipe{}
	for _, s := range sections[1:] {
		name, text, _ := strings.Cut(s, "\n")
		lines := block(text, "pam")
		if lines == "" {
			lines = usual
		}
		out[name] = recipe{block(text, "toml"), strings.Split(strings.TrimSpace(lines), "\n")}
	}
	return out
}

// cook runs a story on a host that is as a recipe says.
func (r recipe) cook(t *testing.T, services []string, prepare, tell func(h *host.Host)) {
	t.Helper()
	host.Run(t, func(h *host.Host) {
		h.Install()
		h.Config(r.toml)
		prepare(h)
		for _, s := range services {
			h.PAM(s, host.Stack(r.pam...)...)
		}
		h.MustRun("polyinst", "prepare")
		h.MustRun("polyinst", "check")
		tell(h)
	})
}

func people(names ...string) func(h *host.Host) {
	return func(h *host.Host) {
		for _, n := range names {
			h.AddUser(n)
		}
	}
}

// told are the recipes, and what their users see.
var told = map[string]func(t *testing.T, r recipe){
	"A shared login node": func(t *testing.T, r recipe) {
		r.cook(t, []string{"sshd", "su"}, people("alice", "bob"), func(h *host.Host) {
			h.Sh("mkdir -m 1777 /tmp/.X11-unix 2>/dev/null || :; touch /tmp/.X11-unix/X0")
			s := h.Sshd()
			a := s.Client(host.PublicKey, "alice", "for d in /tmp /var/tmp /dev/shm; do echo hers >$d/note; done; echo ready; exec sleep 600").Start()
			a.Expect("ready")
			see := s.Client(host.PublicKey, "bob", "ls -A /tmp /var/tmp /dev/shm; ls /tmp/.X11-unix; ps -eo user= | sort -u").Must()
			host.Equal(h, "bob sees", strings.Join(strings.Fields(see), " "), "/dev/shm: /tmp: .ICE-unix .X11-unix /var/tmp: X0 bob")
			host.Equal(h, "alice's next session", s.Client(host.PublicKey, "alice", "cat /tmp/note /var/tmp/note").Must(), "hers\nhers")
			h.Match("root sees", h.MustRun("su", "root", "-c", "ps -eo user="), `(?m)^alice$`)
			a.KillHard()
		})
	},
	"A bastion": func(t *testing.T, r recipe) {
		r.cook(t, []string{"sshd"}, people("alice", "bob"), func(h *host.Host) {
			s := h.Sshd()
			host.Equal(h, "homes", s.Client(host.PublicKey, "alice", "ls /home; echo kept >~/file").Must(), "alice")
			host.Equal(h, "her file", h.ReadFile("/home/alice/file"), "kept\n")
			for _, dir := range []string{"~", "/tmp", "/var/tmp", "/dev/shm"} {
				h.Match("a program in "+dir, s.SSH("alice", "cp /bin/true "+dir+"/mine && "+dir+"/mine").String(), "mine: Permission denied")
			}
			host.Equal(h, "her next session", s.Client(host.PublicKey, "alice", "ls -A /tmp").Must(), "")
			h.Match("too much", s.SSH("alice", "head -c 100M /dev/zero >/tmp/big").String(), "No space left")
			// whatever becomes of the file, nobody gets in without
			h.Config(strings.Replace(r.toml, `"/home"`, `"/hom"`, 1))
			h.Mkdir("/hom", 0o755, 0, 0)
			if r := s.SSH("alice", "id"); r.Code == 0 {
				t.Errorf("alice gets in: %s", r)
			}
			h.WaitLog(`polydir "/home": require= on the PAM line: the configuration has no such polydir`)
		})
	},
	"Hosts for AI agents": func(t *testing.T, r recipe) {
		r.cook(t, []string{"su"}, people("agent-one", "agent-two", "alice"), func(h *host.Host) {
			one := h.Start("su", "agent-one", "-c", "cd; for d in ~ /tmp /var/tmp /dev/shm; do echo one >$d/note; done; echo ready; cat")
			one.Expect("ready")
			see := h.MustRun("su", "agent-two", "-c", "cd; ls -A /tmp /var/tmp /dev/shm; ls /home; ps -eo user= | sort -u")
			host.Equal(h, "the other agent sees", strings.Join(strings.Fields(see), " "), "/dev/shm: /tmp: /var/tmp: agent-two agent-two")
			h.Match("too much memory", h.Su("agent-two", "head -c 300M /dev/zero >/dev/shm/big").String(), "No space left")
			h.Sh("touch /tmp/of-all")
			h.Match("alice sees", h.MustRun("su", "alice", "-c", "ls /tmp /home; ps -eo user="), `(?s)agent-one\nagent-two\nalice.*of-all.*\nagent-one\n`)
			one.CloseInput()
			one.Wait()
			host.Equal(h, "the next session", h.MustRun("su", "agent-one", "-c", "ls -A /tmp; cat ~/note"), "one")
			host.Equal(h, "what is left", h.Sh("find /var/lib/polyinst/agents-* -name note"), "")
			// mistyped, the list applies to nobody: no agent gets in, and alice does
			h.Config(strings.ReplaceAll(r.toml, `"agent-*"`, `"agents-*"`))
			if r := h.Su("agent-one", "id"); r.Code == 0 {
				t.Errorf("the agent gets in: %s", r)
			}
			h.WaitLog(`polydir "/tmp": require= on the PAM line: it does not apply`)
			h.MustRun("su", "alice", "-c", "true")
		})
	},
	"A teaching lab": func(t *testing.T, r recipe) {
		r.cook(t, []string{"su"}, func(h *host.Host) {
			// the disposable host's own filesystem is an overlay, which holds no changes
			h.Mkdir(host.Parents, 0o755, 0, 0)
			for _, dir := range []string{host.Parents, "/srv"} {
				h.MustRun("mount", "-t", "tmpfs", "-o", "mode=755", "disk", dir)
			}
			people("alice", "bob", "teacher")(h)
			h.AddGroup("students", "alice", "bob")
			h.Mkdir("/srv/course", 0o1777, 0, 0)
			h.WriteFile("/srv/course/sheet", "exercise\n", 0o666)
			h.WriteFile("/home/alice/settings", "as they were\n", 0o666)
		}, func(h *host.Host) {
			first := h.Start("su", "-", "alice", "-c", "echo mine >settings; rm -rf .profile; echo solved >>/srv/course/sheet; touch /tmp/junk; echo ready; cat")
			first.Expect("ready")
			host.Equal(h, "beside it", h.MustRun("su", "-", "alice", "-c", "cat settings; ls /tmp"), "mine\njunk")
			first.CloseInput()
			first.Wait()
			host.Equal(h, "after it", h.MustRun("su", "-", "alice", "-c", "cat settings /srv/course/sheet; ls /tmp"), "as they were\nexercise\nsolved")
			host.Equal(h, "bob's sheet", h.MustRun("su", "-", "bob", "-c", "cat /srv/course/sheet"), "exercise")
			host.Equal(h, "the teacher's", h.MustRun("su", "-", "teacher", "-c", "cat /srv/course/sheet"), "exercise")
			host.Equal(h, "her home", h.ReadFile("/home/alice/settings"), "as they were\n")
		})
	},
	"An MLS desktop": func(t *testing.T, r recipe) {
		c, problems := config.Parse(config.Source{Name: "recipe", Data: []byte(r.toml)}, nil)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		levels := 0
		for _, p := range c.Polydirs {
			if p.Method == config.MethodLevel {
				levels++
			}
		}
		if levels != 3 || !slices.ContainsFunc(r.pam, func(l string) bool { return strings.Contains(l, "pam_selinux.so open") }) {
			t.Errorf("%d polydirs by level, %q", levels, r.pam)
		}
	},
}

// Every recipe of docs/recipes.md does what it says, as it stands there.
func TestRecipes(t *testing.T) {
	for name, r := range recipes(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tell := told[name]; tell != nil {
				tell(t, r)
			}
		})
	}
}

// No recipe is on the page that no test runs.
func TestRecipesAreRun(t *testing.T) {
	page := recipes(t)
	for name, r := range page {
		if told[name] == nil || r.toml == "" {
			t.Errorf("docs/recipes.md: nobody runs %q", name)
		}
	}
	for name := range told {
		if _, ok := page[name]; !ok {
			t.Errorf("docs/recipes.md has no %q", name)
		}
	}
}
