package tests

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// commandNames are the commands that `polyinst --help` lists.
func commandNames(h *host.Host) []string {
	h.T.Helper()
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+) +\S`).FindAllStringSubmatch(h.MustRun("polyinst", "--help"), -1) {
		if m[1] != "polyinst" {
			names = append(names, m[1])
		}
	}
	if len(names) < 12 {
		h.T.Fatalf("commands: %v", names)
	}
	return names
}

// --help of every command fits a terminal of 80 columns and 24 lines, and has an
// example.
func TestHelp(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Install()
		for _, name := range append(commandNames(h), "") {
			command := strings.Fields("polyinst " + name)
			out := h.MustRun(append(command, "--help")...)
			lines := strings.Split(out, "\n")
			if len(lines) > 23 || !strings.Contains(out, "\n  polyinst ") {
				t.Errorf("%s --help: %d lines:\n%s", name, len(lines), out)
			}
			for _, line := range lines {
				if len(line) > 80 {
					t.Errorf("%s --help: %d columns: %s", name, len(line), line)
				}
			}
			host.Equal(h, "help "+name, h.MustRun(strings.Fields("polyinst help "+name)...), out)
		}
	})
}

// Mistyped words are told what was perhaps meant, with exit status 2; nothing is
// then done.
func TestMistyped(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Install()
		h.Config(ownTmp)
		for _, name := range append(commandNames(h), "") {
			host.Equal(h, name+": unknown flag", h.Cmd(strings.Fields("polyinst "+name+" --nothing")...).Code, 2)
		}
		for command, want := range map[string]string{
			"chekc":              `unknown command "chekc", did you mean "check"?`,
			"frobnicate":         `unknown command "frobnicate"; polyinst --help lists them`,
			"list --instnaces":   `unknown flag: --instnaces, did you mean "--instances"?`,
			"gc --foo":           `unknown flag: --foo; polyinst gc --help lists the flags`,
			"list --sizes=7":     `invalid argument "7" for "--sizes" flag; polyinst list --help lists the flags`,
			"prepare --repair":   `flag needs an argument: --repair; polyinst prepare --help lists the flags`,
			"list alice":         `unexpected argument "alice"`,
			"explain":            `which user? polyinst explain USER`,
			"enter":              `whose? polyinst enter USER|PID [-- COMMAND...]`,
			"try alice ls":       "\"ls\" is one word too many, a command stands behind `--`: polyinst try USER [-- COMMAND...]",
			"gc --older-than 30": `--older-than: "30" is no age: want a number and h, d or w, such as 90d`,
			"completion csh":     `which shell? polyinst completion bash|zsh|fish`,
			"edit ../x.conf":     `"../x.conf" is no name of a drop-in: want NAME.conf, which lies in /etc/security/polyinst/namespace.d`,
			"help chekc":         `unknown command "chekc", did you mean "check"?`,
		} {
			r := h.Cmd(strings.Fields("polyinst " + command)...)
			host.Equal(h, command, r.Stderr, "polyinst: "+want+"\n")
			host.Equal(h, command+": exit status", r.Code, 2)
		}
		h.AddUser("alice")
		for _, command := range []string{"explain", "try"} {
			r := h.Cmd("polyinst", command, "alcie")
			host.Equal(h, command, r.Stderr, "polyinst: the account \"alcie\" does not exist, did you mean \"alice\"?\n")
			host.Equal(h, command+": exit status", r.Code, 1)
		}
	})
}

// Who is not root is told so at once, by each command that needs it.
func TestNotRoot(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Install()
		h.Config(ownTmp)
		alice := h.AddUser("alice")
		for command, code := range map[string]int{"explain alice": 1, "try alice": 1, "prepare": 1, "list": 1, "enter alice": 1, "real": 1,
			"gc": 1, "metrics": 1, "edit": 1, "check": 0, "completion bash": 0, "--version": 0} {
			r := h.Command(strings.Fields("polyinst " + command)...).As(alice).Run()
			host.Equal(h, command+": exit status", r.Code, code)
			if code == 1 {
				h.Match(command, r.Stderr, `^polyinst: \w+ needs root(, with CAP_SYS_ADMIN and CAP_SYS_CHROOT)?\n$`)
			}
		}
	})
}

// A machine on which hardly anything is there gets sentences.
func TestBareMachine(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Install()
		h.AddUser("alice")
		h.MustRun("rm", "-rf", "/etc/security/polyinst", "/usr/share/polyinst", host.Parents)
		const none = "there is no configuration: /etc/security/polyinst/namespace.conf does not exist: begin with `polyinst edit`, or with `polyinst convert` if this machine uses pam_namespace"
		for command, want := range map[string]string{
			"check":            "polyinst: " + none + "\n",
			"prepare":          "polyinst: " + none + "\n",
			"try alice":        "polyinst: " + none + "\n",
			"list --instances": "polyinst: " + none + "\n",
			"gc":               "polyinst: " + none + "\npolyinst: without a configuration only the parents of recorded sessions are looked at\n",
			"explain alice":    "",
		} {
			r := h.Cmd(strings.Fields("polyinst " + command)...)
			host.Equal(h, command+": exit status", r.Code, 1)
			host.Equal(h, command, r.Stderr, want)
		}
		h.Match("explain", h.Cmd("polyinst", "explain", "alice").Stdout, `(?m)^REFUSED: there is no configuration: `)
		h.Match("explain for root", h.Cmd("polyinst", "explain", "root").Stdout, `(?m)^rescue: "root" is admitted all the same`)
		h.Match("metrics", h.MustRun("polyinst", "metrics"), `(?m)^polyinst_config_problems 1$`)
		host.Equal(h, "list", h.Cmd("polyinst", "list").Stderr, "polyinst: no process is in a private namespace\n")

		// no /run: no records
		h.Config(ownTmp)
		h.Prepare(parent)
		h.Sh("umount -l /run; mv /run /run.away")
		for _, command := range []string{"list", "prepare", "gc", "metrics", "enter alice", "list --json"} {
			r := h.Cmd(strings.Fields("polyinst " + command)...)
			host.Equal(h, command+": exit status", r.Code, 1)
			h.Match(command, r.Stderr, `^polyinst: /run does not exist: it is needed to record the sessions' namespaces\n$`)
		}
		h.Match("check", h.Cmd("polyinst", "check").Stderr, `/run does not exist`)
		h.Match("explain", h.Cmd("polyinst", "explain", "alice").Stdout, `cover "/tmp" with new instance`)
	})
}

// Each shell completes commands, flags and accounts.
func TestCompletion(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Need("bash", "zsh", "fish")
		h.Install()
		h.AddUser("zaphod")
		h.WriteFile("/root/bash", h.MustRun("polyinst", "completion", "bash"))
		h.WriteFile("/root/zsh/_polyinst", h.MustRun("polyinst", "completion", "zsh"))
		h.WriteFile("/root/fish", h.MustRun("polyinst", "completion", "fish"))
		asks := map[string]string{"polyinst expl": "explain", "polyinst gc --orp": "--orphans", "polyinst try zap": "zaphod", "polyinst explain root --from zap": "zaphod",
			"polyinst completion f": "fish"}
		for line, want := range asks {
			words := strings.Fields(line)
			bash := `. /usr/share/bash-completion/bash_completion; . /root/bash
COMP_WORDS=(` + line + `); COMP_CWORD=` + strconv.Itoa(len(words)-1) + `; COMP_LINE="` + line + `"; COMP_POINT=${#COMP_LINE}
__start_polyinst; printf '%s\n' "${COMPREPLY[@]}"`
			h.Match("bash: "+line, h.MustRun("bash", "-c", bash), `(?m)^`+regexp.QuoteMeta(want)+`\b`)
			h.Match("fish: "+line, h.MustRun("fish", "-c", `source /root/fish; complete -C "`+line+`"`), `(?m)^`+regexp.QuoteMeta(want)+`\b`)
			// zsh's own part needs a terminal; the script gives it the words by _describe
			zsh := `compdef() { : }; _describe() { print -rl -- "${completions[@]}" }
words=(` + line + `); CURRENT=` + strconv.Itoa(len(words)) + `; source /root/zsh/_polyinst; _polyinst`
			h.Match("zsh: "+line, h.MustRun("zsh", "-f", "-c", zsh), `(?m)^`+regexp.QuoteMeta(want)+`\b`)
		}
	})
}
