package docs

import (
	"regexp"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// The pages show what the commands print: every ```console block is run, on a
// host with the page's first configuration, and compared. A line that begins
// with "# " is a command; <!-- $ COMMAND --> and, for what goes on,
// <!-- & COMMAND --> are run and not seen. UPDATE=1 writes the pages anew.
func TestPagesShowWhatIsPrinted(t *testing.T) {
	for _, page := range []string{"README.md", "docs/commands.md"} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			host.Run(t, func(h *host.Host) { runPage(h, page) })
		})
	}
}

// Every command has its output in docs/commands.md.
func TestPagesShowEveryCommand(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Install()
		page := h.ReadFile(h.Source("docs/commands.md"))
		for _, name := range kit.CommandNames(h) {
			if !regexp.MustCompile(`(?m)^# .*\bpolyinst ` + name + `\b`).MatchString(page) {
				t.Errorf("docs/commands.md does not show %s", name)
			}
		}
	})
}

var hidden = regexp.MustCompile(`^<!-- ([$&]) (.*) -->$`)

func runPage(h *host.Host, page string) {
	text := h.ReadFile(h.Source(page))
	setUpPage(h, text)
	var out strings.Builder
	lines := strings.SplitAfter(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSuffix(lines[i], "\n")
		out.WriteString(lines[i])
		if m := hidden.FindStringSubmatch(line); m != nil {
			if m[1] == "$" {
				h.Sh(m[2])
			} else {
				h.Start("sh", "-c", m[2]).Expect("ready")
			}
		}
		if line != "```console" {
			continue
		}
		for i++; lines[i] != "```\n"; {
			command := strings.TrimSuffix(strings.TrimPrefix(lines[i], "# "), "\n")
			out.WriteString(lines[i])
			want := ""
			for i++; lines[i] != "```\n" && !strings.HasPrefix(lines[i], "# "); i++ {
				want += lines[i]
			}
			// what stands behind three spaces is for the reader
			said := h.Command("bash", "-c", "{ "+regexp.MustCompile(` {3,}.*`).ReplaceAllString(command, "")+"; } 2>&1").Dir("/root").Run().Stdout
			if said != "" && !strings.HasSuffix(said, "\n") {
				said += "\n"
			}
			if varying(command, said) != varying(command, want) {
				h.T.Errorf("%s: %s\nprints:\n%s\nthe page has:\n%s", page, command, said, want)
				want = said
			}
			out.WriteString(want)
		}
		out.WriteString(lines[i])
	}
	h.Update(page, out.String())
}

// varying takes out what differs from one run to the next: numbers of sessions,
// sizes, times and digests where they are listed.
func varying(command, text string) string {
	text = regexp.MustCompile(`mnt:\[\d+\]`).ReplaceAllString(text, "mnt:[N]")
	text = regexp.MustCompile(`again at \d\d:\d\d:\d\d`).ReplaceAllString(text, "again at N")
	if regexp.MustCompile(`^polyinst doctor`).MatchString(command) {
		text = regexp.MustCompile(`last: [-\d]+ [:\d]+, \w+ ago`).ReplaceAllString(text, "last: N")
	}
	if regexp.MustCompile(`^polyinst (list|metrics|status)`).MatchString(command) {
		text = regexp.MustCompile(`"[0-9a-f]{32}"`).ReplaceAllString(text, `"N"`)
		text = regexp.MustCompile(`\d[\d:.]*[KMGsmhd]?\b`).ReplaceAllString(text, "N")
		text = regexp.MustCompile(` +`).ReplaceAllString(text, " ")
	}
	if strings.HasPrefix(command, "polyinst report") {
		text = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:]+Z|[0-9a-f]{64}`).ReplaceAllString(text, "N")
	}
	return text
}

// setUpPage makes the machine that the pages speak of.
func setUpPage(h *host.Host, text string) {
	h.Install()
	h.Forks()
	toml := regexp.MustCompile("(?s)```toml\n(.*?)```").FindStringSubmatch(text)
	h.Config(toml[1])
	h.MustRun("rm", "-rf", host.Parents, "/etc/bash_completion.d/polyinst")
	h.MustRun("mkdir", "-p", "/etc/bash_completion.d")
	for _, path := range []string{"/etc/passwd", "/etc/group"} {
		h.MustRun("sed", "-i", "-E", `/^[^:]*:x:(1000|1001|1002):|^(wheel|students|alice|bob):/d`, path)
	}
	h.MustRun("sed", "-i", "-E", `/^nobody:/!{/^[^:]*:x:[1-9][0-9]{3,}:/d}`, "/etc/passwd")
	h.AddGroup("wheel")
	h.AddGroup("students")
	h.AddUser("alice", host.User{UID: 1000})
	h.AddUser("bob", host.User{UID: 1001})
	h.Sh("rm -rf /etc/pam.d/* /usr/lib/pam.d /usr/share/pam.d")
	for _, service := range []string{"login", "sshd", "su"} {
		h.PAM(service, host.Stack("session required pam_unix.so", kit.Session)...)
	}
	h.PAM("cron", host.Stack("session required pam_unix.so")...)
	h.PAM("other", "session required pam_deny.so")
}
