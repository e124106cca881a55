package command

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// --help of every command fits a terminal of 80 columns and 24 lines, and has three
// examples.
func TestHelp(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Install()
		for _, name := range append(kit.CommandNames(h), "") {
			command := strings.Fields("polyinst " + name)
			out := h.MustRun(append(command, "--help")...)
			lines := strings.Split(out, "\n")
			examples := len(regexp.MustCompile(`(?m)^  [^-\n]*polyinst `).FindAllString(out, -1))
			if len(lines) > 23 || examples < 3 && name != "" && name != "serve" {
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

// The synopsis of polyinst(8) has the flags that --help has, and no others.
func TestSynopsisHasEveryFlag(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Install()
		synopsis := kit.Between(h.ReadFile(h.Source("man/polyinst.8")), "\n.Sh SYNOPSIS\n", "\n.Sh ")
		for _, name := range kit.CommandNames(h) {
			_, args, ok := strings.Cut(synopsis, ".Nm\n.Cm "+name+"\n")
			if !ok {
				t.Errorf("polyinst(8) has no synopsis of %s", name)
			}
			args, _, _ = strings.Cut("\n"+args, "\n.Nm\n")
			flags := func(pattern, text string) string {
				var out []string
				for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
					out = append(out, m[1])
				}
				slices.Sort(out)
				return strings.Join(out, " ")
			}
			want := flags(`(?m)^ {2,6}(?:-\w, )?--([a-z-]+)`, h.MustRun("polyinst", name, "--help"))
			host.Equal(h, name, flags(`(?:Fl|\|) -([a-z][a-z-]*)`, args), strings.TrimPrefix(strings.ReplaceAll(" "+want, " help", ""), " "))
		}
	})
}

// Mistyped words are told what was perhaps meant, with exit status 2; nothing is
// then done.
func TestMistyped(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Install()
		h.Config(kit.OwnTmp)
		for _, name := range append(kit.CommandNames(h), "") {
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
		h.Config(kit.OwnTmp)
		alice := h.AddUser("alice")
		for command, code := range map[string]int{"explain alice": 1, "try alice": 1, "prepare": 1, "list": 1, "enter alice": 1, "real": 1,
			"gc": 1, "metrics": 1, "report": 1, "edit": 1, "enable su": 1, "disable su": 1, "confirm": 1, "status": 1, "doctor alice": 1, "check": 0, "completion bash": 0, "--version": 0} {
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
		h.Match("report", h.Cmd("polyinst", "report").Stdout, `^NOT ISOLATED: sessions by no service:\n  there is no configuration: `)
		host.Equal(h, "list", h.Cmd("polyinst", "list").Stderr, "polyinst: no process is in a private namespace\n")

		// no /run: no records
		h.Config(kit.OwnTmp)
		h.Prepare(kit.TmpParent)
		h.Sh("umount -l /run; mv /run /run.away")
		for _, command := range []string{"list", "prepare", "gc", "metrics", "enter alice", "list --json"} {
			r := h.Cmd(strings.Fields("polyinst " + command)...)
			host.Equal(h, command+": exit status", r.Code, 1)
			h.Match(command, r.Stderr, `^polyinst: /run does not exist: it is needed to record the sessions' namespaces\n$`)
		}
		h.Match("check", h.Cmd("polyinst", "check").Stderr, `/run does not exist`)
		h.Match("explain", h.Cmd("polyinst", "explain", "alice").Stdout, `REFUSED: the records of sessions: /run does not exist`)
	})
}

// Each shell completes commands, flags and accounts.
func TestCompletion(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Need("bash", "zsh", "fish")
		h.Install()
		h.Config(kit.OwnTmp)
		h.AddUser("zaphod")
		h.PAM("polyinst-test", host.Stack(kit.Session)...)
		h.WriteFile("/root/bash", h.MustRun("polyinst", "completion", "bash"))
		h.WriteFile("/root/zsh/_polyinst", h.MustRun("polyinst", "completion", "zsh"))
		h.WriteFile("/root/fish", h.MustRun("polyinst", "completion", "fish"))
		asks := map[string]string{"polyinst expl": "explain", "polyinst gc --orp": "--orphans", "polyinst try zap": "zaphod", "polyinst explain root --from zap": "zaphod",
			"polyinst completion f": "fish", "polyinst explain root --service polyinst-t": "polyinst-test",
			"polyinst report --require /t": "/tmp", "polyinst try root --arg unmount": "unmount_on_close"}
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

// Every value has its completion: names where there are names, files of the right
// kind, or nothing. What the shell would offer by itself are all files.
func TestEveryValueCompletes(t *testing.T) {
	const byItself, nothing, filesOf, dirs = ":0", ":4", ":8", ":16"
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("old")
		h.Sh("mkdir -m 1777 " + kit.Instance("old") + " " + kit.Instance("alice") + "; userdel old")
		ask := func(words ...string) (offered []string, directive string) {
			t.Helper()
			out := h.MustRun(append([]string{"polyinst", "__complete"}, words...)...)
			lines := strings.Split(out, "\n")
			for i, l := range lines[:len(lines)-1] {
				lines[i], _, _ = strings.Cut(l, "\t")
			}
			return lines[:len(lines)-1], lines[len(lines)-1]
		}
		flags := 0
		for _, name := range kit.CommandNames(h) {
			if _, directive := ask(name, ""); directive == byItself {
				t.Errorf("%s: an argument is left to the shell", name)
			}
			for _, m := range regexp.MustCompile(`(?m)^ +--([a-z-]+) [A-Z]`).FindAllStringSubmatch(h.MustRun("polyinst", name, "--help"), -1) {
				if _, directive := ask(name, "--"+m[1], ""); directive == byItself {
					t.Errorf("%s --%s: the value is left to the shell", name, m[1])
				}
				flags++
			}
		}
		if flags < 25 {
			t.Errorf("only %d flags were asked for", flags)
		}
		for words, want := range map[string]string{
			"explain --service ssh":    "[sshd] " + nothing,
			"explain --service common": "[] " + nothing, // what others include is no service
			"explain --from al":        "[alice] " + nothing,
			"explain --from alice:ssh": "[alice:sshd] " + nothing,
			"report --exempt al":       "[alice] " + nothing,
			"report --require /":       "[/tmp] " + nothing,
			"prepare --repair /":       "[" + kit.Instance("alice") + " " + kit.Instance("old") + "] " + nothing,
			"rename o":                 "[old] " + nothing,
			"rename al":                "[] " + nothing, // her account is there
			"rename old al":            "[alice] " + nothing,
			"check /":                  "[conf] " + filesOf,
			"check --as /":             "[conf] " + filesOf,
			"try --module /":           "[so] " + filesOf,
			"check --pam=/":            "[] " + dirs,
			"try --arg conf":           "[conf= config_error=] " + nothing,
			"gc x":                     "[] " + nothing,
		} {
			offered, directive := ask(strings.Fields(words)...)
			host.Equal(h, words, fmt.Sprint(offered, " ", directive), want)
		}
	})
}
