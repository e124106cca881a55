package install

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// nixOS is what dist/nixos makes of a configuration, by Nix itself. The functions of
// nixpkgs' library are stubs (testdata/nixos/eval.nix), since there is no nixpkgs
// here.
type nixOS struct {
	Config struct {
		Assertions []struct {
			Assertion bool
			Message   string
		}
		Etc map[string]struct{ Source, Mode string }
		PAM map[string]struct {
			Rules struct {
				Session struct {
					Polyinst struct {
						Order               int
						Control, ModulePath string
						Args                []string
					}
				}
			}
		}
		Systemd struct {
			Packages                  []string
			Services, Timers, Sockets map[string]unitOfNix
			Tmpfiles                  struct{ Packages []string }
		}
	}
	Package struct {
		Version, VendorHash string
		MakeFlags           []string
	}
}

type unitOfNix struct {
	WantedBy, Path, RestartTriggers []string
	OverrideStrategy                string
}

func evaluate(h *host.Host, settings string) nixOS {
	h.T.Helper()
	out := h.Command("nix-instantiate", "--eval", "--strict", "--json", h.Source("tests/install/testdata/nixos/eval.nix"), "--arg", "settings", settings).
		Env("HOME=/root").Must()
	var n nixOS
	if err := json.Unmarshal([]byte(out), &n); err != nil {
		h.T.Fatal(err)
	}
	return n
}

// The NixOS module: its PAM rules, its configuration file, its units.
func TestNixOS(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		h.Need("nix-instantiate", "make")
		n := evaluate(h, `{ enable = true; services = [ "sshd" "su" ]; arguments = [ "rescue=root" ]; configuration = "[[polydir]]"; }`)
		for _, a := range n.Config.Assertions {
			host.Equal(h, a.Message, a.Assertion, true)
		}
		host.Equal(h, "services", len(n.Config.PAM), 2)
		for name, s := range n.Config.PAM {
			rule := s.Rules.Session.Polyinst
			host.Equal(h, name, fmt.Sprint(rule.Control, rule.Args, rule.ModulePath), "required[rescue=root]/nix/store/0-pam_polyinst/lib/security/pam_polyinst.so")
			// those of NixOS are some ten thousands
			host.Equal(h, name+": behind all others", rule.Order > 100000, true)
		}
		host.Equal(h, "the configuration", fmt.Sprint(n.Config.Etc), "map[security/polyinst/namespace.conf:{/nix/store/1-namespace.conf 0644}]")
		host.Equal(h, "the unit", fmt.Sprint(n.Config.Systemd.Services["polyinst-prepare"]), "{[multi-user.target] [getent] [/nix/store/1-namespace.conf] asDropin}")
		host.Equal(h, "the socket", fmt.Sprint(n.Config.Systemd.Sockets["polyinst"].WantedBy), "[sockets.target]")
		host.Equal(h, "the timer", fmt.Sprint(n.Config.Systemd.Timers["polyinst-gc"].WantedBy), "[timers.target]")

		// each unit that `make install` installs is known to the module
		for _, unit := range strings.Fields(regexp.MustCompile(`(?m)^units += (.*)$`).FindStringSubmatch(h.ReadFile(h.Source("Makefile")))[1]) {
			name, kind, _ := strings.Cut(unit, ".")
			of := map[string]map[string]unitOfNix{"service": n.Config.Systemd.Services, "timer": n.Config.Systemd.Timers, "socket": n.Config.Systemd.Sockets}[kind]
			if of[name].OverrideStrategy != "asDropin" {
				t.Errorf("the module does not know %s", unit)
			}
		}

		for settings, wrong := range map[string]string{
			`{ enable = true; configuration = "x"; }`:                       "no service is named",
			`{ enable = true; services = [ "sshd" ]; configuration = ""; }`: "there is no configuration",
		} {
			said := ""
			for _, a := range evaluate(h, settings).Config.Assertions {
				if !a.Assertion {
					said += a.Message
				}
			}
			h.Match(settings, said, `^security\.polyinst: `+wrong)
		}
		off := evaluate(h, `{ services = [ "sshd" ]; configuration = "x"; }`)
		host.Equal(h, "disabled", len(off.Config.PAM)+len(off.Config.Etc)+len(off.Config.Assertions), 0)

		// the package's places are those that `make install` knows
		host.Equal(h, "the version", n.Package.Version, strings.TrimSpace(h.ReadFile(h.Source("VERSION"))))
		h.Command(append([]string{"make", "-s", "install", "DESTDIR=/srv/stage"}, n.Package.MakeFlags...)...).Dir(h.Source("")).Must()
		out := strings.TrimPrefix(n.Package.MakeFlags[0], "PREFIX=")
		for _, file := range []string{"bin/polyinst", "lib/security/pam_polyinst.so", "lib/systemd/system/polyinst-gc.timer", "lib/tmpfiles.d/polyinst.conf",
			"share/man/man8/polyinst.8", "share/zsh/site-functions/_polyinst"} {
			if !h.Exists("/srv/stage" + out + "/" + file) {
				t.Errorf("the package has no %s", file)
			}
		}
		h.Match("the unit's program", h.ReadFile("/srv/stage"+out+"/lib/systemd/system/polyinst-prepare.service"), `(?m)^ExecStart=`+out+`/bin/polyinst prepare$`)
		host.Equal(h, "besides it", h.Sh("cd /srv/stage && find . -type f ! -path '."+out+"/*'"), "./etc/security/polyinst/namespace.conf")
	})
}

// Why the module copies the configuration: a link into the store is refused.
func TestConfigurationInANixStore(t *testing.T) {
	t.Parallel()
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.Sh(`groupadd -f nixbld; mkdir -p /nix/store; chown root:nixbld /nix/store; chmod 1775 /nix/store
mv ` + host.ConfigFile + ` /nix/store/1-namespace.conf; chmod 0444 /nix/store/1-namespace.conf; ln -s /nix/store/1-namespace.conf ` + host.ConfigFile)
		r := h.Cmd("polyinst", "check")
		host.Equal(h, "a link: exit status", r.Code, 1)
		h.Match("a link", r.Stderr, `/nix/store`)
		h.Sh("cp --remove-destination /nix/store/1-namespace.conf " + host.ConfigFile + "; chmod 0644 " + host.ConfigFile)
		h.MustRun("polyinst", "check")
	})
}

// The hash of the dependencies in package.nix is that of what `go mod vendor` makes.
// UPDATE=1 writes it anew.
func TestNixVendorHash(t *testing.T) {
	if _, err := exec.LookPath("nix"); err != nil {
		t.Skip(host.NeedsProgram + " nix")
	}
	work := t.TempDir()
	run := func(dir, name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "HOME="+work)
		for _, key := range []string{"GOMODCACHE", "GOCACHE", "GOPROXY", "GOSUMDB", "GONOSUMDB"} { // not from the other home
			cmd.Env = append(cmd.Env, key+"="+goEnv(t, key))
		}
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, said.String())
		}
		return strings.TrimSpace(string(out))
	}
	run(kit.Root, "cp", "-r", "go.mod", "go.sum", "cmd", "internal", "pam_polyinst", "tests", work)
	run(work, "go", "mod", "vendor")
	// a store of its own: nothing is written to the machine's
	hash := run(work, "nix", "--extra-experimental-features", "nix-command", "--store", work+"/store", "hash", "path", "vendor")
	file := filepath.Join(kit.Root, "dist/nixos/package.nix")
	text, now := kit.ReadDoc(t, "dist/nixos/package.nix"), fmt.Sprintf("vendorHash = %q;", hash)
	if strings.Contains(text, now) {
		return
	}
	if os.Getenv("UPDATE") == "" {
		t.Fatalf("dist/nixos/package.nix: want %s", now)
	}
	if err := os.WriteFile(file, []byte(regexp.MustCompile(`vendorHash = ".*";`).ReplaceAllString(text, now)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
