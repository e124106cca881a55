package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/tests/kit"
)

// The documentation says what the code says. None of these needs root.

func markdown(t *testing.T) []string {
	return kit.SourceFiles(t, "*.md", "docs/*.md", "docs/decisions/*.md", "tests/*.md", "tests/vm/*.md")
}

var manMacro = regexp.MustCompile(`(?m)^\.[A-Z][a-z]? ?|^\.\\".*$`)

// manText is a page, or all of them, as a reader sees the words.
func manText(t *testing.T, pages ...string) string {
	t.Helper()
	var b strings.Builder
	for _, page := range pages {
		b.WriteString(kit.ReadDoc(t, page) + "\n")
	}
	text := manMacro.ReplaceAllString(b.String(), "")
	text = strings.NewReplacer(`\(dq`, `"`, `\-`, "-", `\&`, "", `\e`, `\`).Replace(text)
	return strings.Join(strings.Fields(text), " ")
}

var cited = regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`)

// Every test that a page names is there; of the virtual machines, every guest.
func TestDocsCiteTestsThatExist(t *testing.T) {
	there := map[string]bool{}
	_ = filepath.WalkDir(kit.Root, func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			raw, _ := os.ReadFile(path)
			for _, m := range regexp.MustCompile(`(?m)^func ((Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(raw), -1) {
				there[m[1]] = true
			}
		}
		return nil
	})
	guests := kit.ReadDoc(t, "tests/vm/run")
	for _, page := range markdown(t) {
		text := kit.ReadDoc(t, page)
		for _, name := range cited.FindAllString(text, -1) {
			if !there[name] {
				t.Errorf("%s names %s, which does not exist", page, name)
			}
		}
		for _, m := range regexp.MustCompile(`\bvm:([a-z0-9-]+)`).FindAllStringSubmatch(text, -1) {
			if !regexp.MustCompile(`(?m)^` + m[1] + ` `).MatchString(guests) {
				t.Errorf("%s names the guest %s, which tests/vm/run has not got", page, m[1])
			}
		}
	}
	for story := range kit.NotCompared {
		if name, _, _ := strings.Cut(story, "/"); !there[name] {
			t.Errorf("notCompared names %s, which does not exist", name)
		}
	}
}

// Every link to a file of the project leads to one.
func TestDocsLinks(t *testing.T) {
	for _, page := range markdown(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`).FindAllStringSubmatch(kit.ReadDoc(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(kit.Root, filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// Every configuration that a page shows is one.
func TestDocsExamplesParse(t *testing.T) {
	check := func(page, text string) {
		var dropins []config.Source
		if !strings.Contains(text, "[[polydir]]") { // it is about [namespace] alone
			dropins = []config.Source{{Name: "drop-in", Data: []byte("[[polydir]]\npath = '/tmp'\nmethod = 'tmpfs'\n")}}
		}
		if _, problems := config.Parse(config.Source{Name: page, Data: []byte(text)}, dropins); len(problems) > 0 {
			t.Errorf("%s shows\n%s\n%v", page, text, problems)
		}
	}
	for _, page := range markdown(t) {
		for _, m := range regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(kit.ReadDoc(t, page), -1) {
			check(page, m[1])
		}
	}
	for _, page := range kit.SourceFiles(t, "man/*.[58]") {
		for _, m := range regexp.MustCompile(`(?s)\.Bd -literal[^\n]*\n(.*?)\.Ed`).FindAllStringSubmatch(kit.ReadDoc(t, page), -1) {
			if strings.Contains(m[1], "[[polydir]]") {
				check(page, strings.NewReplacer(`\(dq`, `"`, `\-`, "-", `\&`, "").Replace(m[1]))
			}
		}
	}
}

// entries are the first strings of the elements of a table in a source file:
// names of keys or arguments.
func entries(t *testing.T, file string, table *regexp.Regexp) []string {
	t.Helper()
	var names []string
	for _, block := range table.FindAllString(kit.ReadDoc(t, file), -1) {
		for _, m := range regexp.MustCompile(`(?m)^\t\{"(\w+)",`).FindAllStringSubmatch(block, -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// Every key of the configuration and every argument of the PAM line has its
// place in a page.
func TestDocsDescribeEveryKeyAndArgument(t *testing.T) {
	fields := regexp.MustCompile(`(?s)\nvar \w+Fields = \[\]field\[.*?\n\}`)
	keys := append(entries(t, "internal/core/config/polydir.go", fields), entries(t, "internal/core/config/namespace.go", fields)...)
	args := entries(t, "internal/core/config/args.go", regexp.MustCompile(`(?s)\nvar argList = .*?\n\}`))
	for page, names := range map[string][]string{"man/polyinst-namespace.conf.5": keys, "man/pam_polyinst.8": args} {
		if len(names) < 10 {
			t.Fatalf("%s: found only %v in the code", page, names)
		}
		text := kit.ReadDoc(t, page)
		for _, name := range names {
			if !regexp.MustCompile(`(?m)^\.It Cm (.* )?`+name+`\b`).MatchString(text) &&
				!regexp.MustCompile(`(?m)^\.It .*\bCm `+name+`\b`).MatchString(text) {
				t.Errorf("%s does not describe %s", page, name)
			}
		}
	}
}

// messages of these is what an administrator may read in the log. The messages
// about a file's text are explained by themselves.
var speaking = []string{"session", "observe", "apply", "core/plan", "kernel/script", "kernel/projquota", "sessions/record", "gc",
	"kernel/mntns", "kernel/mountfd", "kernel/dirfd", "kernel/selinuxfs", "core/selinux"}

// unexplained are strings that are no messages, or that nobody meets.
var unexplained = []string{
	"not an absolute path", // of init, which is made absolute
	"file of an unknown type",
	"is no name of an instance",                                                                                               // repair has cut the name at its slash
	"no type of file",                                                                                                         // fields of file_contexts, which are only counted
	"no context for",                                                                                                          // the same
	"is not understood",                                                                                                       // the same
	"a private IPC namespace has its own shared memory",                                                                       // why a rule applies
	"the mount that it lies on", "its mount is on", "and it is at", "where it is cannot be told", "there are too many mounts", // of gc alone, or behind "close:"
	"ended with an earlier boot", // gc's reasons, in words that need no more
	"it was never finished", "its session has ended",
	"it was made for uid", "there is no account with uid",
	"another boot made it, perhaps of another machine that has the same machine id", "whether it is in use cannot be told",
	"a session is being opened", "it was last opened", "it is not recorded when it was last opened",
}

// fragments are the parts of a format between its verbs that have some words.
func fragments(format string) []string {
	var out []string
	for _, part := range regexp.MustCompile(`%[-+#0-9.]*l?[a-zA-Z]`).Split(format, -1) {
		part = strings.Trim(strings.Join(strings.Fields(part), " "), ` ":;,()[]`)
		if strings.Count(part, " ") >= 2 {
			out = append(out, part)
		}
	}
	return out
}

// Every message of the module stands in a page.
func TestDocsListEveryMessage(t *testing.T) {
	pages := manText(t, kit.SourceFiles(t, "man/*.[58]")...)
	look := func(where, message string) {
		for _, f := range fragments(message) {
			if !strings.Contains(pages, f) && !slices.ContainsFunc(unexplained, func(u string) bool { return strings.Contains(f, u) }) {
				t.Errorf("%s: no page has %q", where, f)
			}
		}
	}
	for _, name := range speaking {
		for _, file := range kit.SourceFiles(t, "internal/"+name+"/*.go") {
			if strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, "core/plan/plan.go") {
				continue
			}
			kit.GoStrings(t, file, look)
		}
	}
	c := regexp.MustCompile(`(?s:/\*.*?\*/)|(?m:^#.*$)`).ReplaceAllString(edgeC(t), "")
	c = regexp.MustCompile(`"\s+"`).ReplaceAllString(c, "")
	for _, m := range regexp.MustCompile(`"((?:[^"\\\n]|\\.)*)"`).FindAllStringSubmatch(c, -1) {
		look("pam_polyinst", strings.ReplaceAll(m[1], `\"`, `"`))
	}
}

// edgeC is the C code of the module.
func edgeC(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, file := range kit.SourceFiles(t, "pam_polyinst/*.c") {
		b.WriteString(kit.ReadDoc(t, file))
	}
	return b.String()
}

// What the pages list as a message is one: its words stand in the code.
func TestDocsListNoOtherMessage(t *testing.T) {
	var b strings.Builder
	for _, file := range kit.SourceFiles(t, "internal/*/*.go", "internal/*/*/*.go", "cmd/*/*.go", "cmd/*/internal/*/*.go") {
		if !strings.HasSuffix(file, "_test.go") {
			kit.GoStrings(t, file, func(_, text string) { b.WriteString(text + "\n") })
		}
	}
	b.WriteString(strings.ReplaceAll(regexp.MustCompile(`"\s+"`).ReplaceAllString(edgeC(t), ""), `\"`, `"`))
	code := strings.Join(strings.Fields(b.String()), " ")
	// messages wrap each other, and a value stands in capitals (PATH, N), in
	// quotes, or is a number or a path
	value := regexp.MustCompile(`: |; |"[^"]*"|\b[A-Z][A-Z:]*\b|true\|false|\d+|__\w+__|^/[\w/]+|[(){}]`)
	for _, page := range kit.SourceFiles(t, "man/*.8") {
		_, diagnostics, _ := strings.Cut(kit.ReadDoc(t, page), "\n.Sh DIAGNOSTICS")
		diagnostics, _, _ = strings.Cut(diagnostics, "\n.Sh ")
		for _, m := range regexp.MustCompile(`(?m)^\.It (.*)$`).FindAllStringSubmatch(diagnostics, -1) {
			message := strings.NewReplacer(`\(dq`, `"`, `\-`, "-", `\&`, "").Replace(m[1])
			for _, part := range value.Split(message, -1) {
				part = strings.Trim(part, " :;,.?=")
				if strings.Count(part, " ") >= 2 && part != "no such file or directory" && !strings.Contains(code, part) {
					t.Errorf("%s lists %q, but the code has no %q", page, message, part)
				}
			}
		}
	}
}

// The topmost section of the changelog is that of VERSION.
func TestChangelogHasTheVersion(t *testing.T) {
	version := strings.TrimSpace(kit.ReadDoc(t, "VERSION"))
	sections := regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(kit.ReadDoc(t, "CHANGELOG.md"), -1)
	if len(sections) == 0 || !strings.HasPrefix(sections[0][1], "["+version+"] - ") {
		t.Errorf("VERSION is %s, the topmost section of CHANGELOG.md is %q", version, sections[0][1])
	}
}

// The pages name the version; common tasks stand before the reference; and what a
// command of polyinst(8) takes is the same in its synopsis and above its description.
func TestManualPages(t *testing.T) {
	version := strings.TrimSpace(kit.ReadDoc(t, "VERSION"))
	for _, page := range kit.SourceFiles(t, "man/*.[58]") {
		text := kit.ReadDoc(t, page)
		if !strings.Contains(text, "\n.Os pam_polyinst "+version+"\n") {
			t.Errorf("%s: its foot does not name version %s", page, version)
		}
		var sections []string
		for _, m := range regexp.MustCompile(`(?m)^\.Sh (.*)$`).FindAllStringSubmatch(text, -1) {
			sections = append(sections, m[1])
		}
		if want := []string{"NAME", "SYNOPSIS", "DESCRIPTION", "COMMON TASKS"}; !slices.Equal(sections[:len(want)], want) {
			t.Errorf("%s begins with the sections %q, want %q", page, sections[:len(want)], want)
		}
	}

	page := kit.ReadDoc(t, "man/polyinst.8")
	synopsis := kit.Between(page, "\n.Sh SYNOPSIS\n", "\n.Sh ")
	commands := kit.Between(page, "\n.Sh COMMANDS\n", "\n.Sh ")
	described := 0
	for _, s := range strings.Split(synopsis, ".Nm\n")[1:] {
		name, ok := strings.CutPrefix(s, ".Cm ")
		if !ok {
			continue // --help
		}
		described++
		name, args, _ := strings.Cut(strings.TrimSpace(name), "\n")
		want := "\n.It Cm " + name + "\n"
		if args != "" {
			want = "\n.It Xo\n.Cm " + name + "\n" + args + "\n.Xc\n"
		}
		if !strings.Contains(commands, want) {
			t.Errorf("polyinst(8): %s is not described with the arguments of its synopsis:%s", name, want)
		}
	}
	if described < 15 {
		t.Errorf("polyinst(8): found only %d commands in the synopsis", described)
	}
	line := kit.Between(kit.ReadDoc(t, "man/pam_polyinst.8"), "\n.Sh SYNOPSIS\n", "\n.Sh ")
	for _, arg := range entries(t, "internal/core/config/args.go", regexp.MustCompile(`(?s)\nvar argList = .*?\n\}`)) {
		if !regexp.MustCompile(`(?m)^\.Op Cm ` + arg + `( |$)`).MatchString(line) {
			t.Errorf("pam_polyinst(8): the synopsis has no %s", arg)
		}
	}
}
