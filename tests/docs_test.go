package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pam_polyinst/internal/config"
)

// The documentation says what the code says. None of these needs root.

const root = ".."

func readDoc(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func glob(t *testing.T, patterns ...string) []string {
	t.Helper()
	var names []string
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			name, _ := filepath.Rel(root, path)
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		t.Fatalf("%v: nothing is there", patterns)
	}
	return names
}

func markdown(t *testing.T) []string {
	return glob(t, "*.md", "docs/*.md", "docs/decisions/*.md", "tests/*.md", "tests/vm/*.md")
}

var manMacro = regexp.MustCompile(`(?m)^\.[A-Z][a-z]? ?|^\.\\".*$`)

// manText is a page, or all of them, as a reader sees the words.
func manText(t *testing.T, pages ...string) string {
	t.Helper()
	var b strings.Builder
	for _, page := range pages {
		b.WriteString(readDoc(t, page) + "\n")
	}
	text := manMacro.ReplaceAllString(b.String(), "")
	text = strings.NewReplacer(`\(dq`, `"`, `\-`, "-", `\&`, "", `\e`, `\`).Replace(text)
	return strings.Join(strings.Fields(text), " ")
}

var cited = regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`)

// Every test that a page names is there; of the virtual machines, every guest.
func TestDocsCiteTestsThatExist(t *testing.T) {
	there := map[string]bool{}
	_ = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			raw, _ := os.ReadFile(path)
			for _, m := range regexp.MustCompile(`(?m)^func ((Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(raw), -1) {
				there[m[1]] = true
			}
		}
		return nil
	})
	guests := readDoc(t, "tests/vm/run")
	for _, page := range markdown(t) {
		text := readDoc(t, page)
		for _, name := range cited.FindAllString(text, -1) {
			if !there[name] {
				t.Errorf("%s names %s, which does not exist", page, name)
			}
		}
		for _, m := range regexp.MustCompile(`\bvm:([a-z-]+)`).FindAllStringSubmatch(text, -1) {
			if !regexp.MustCompile(`(?m)^` + m[1] + ` `).MatchString(guests) {
				t.Errorf("%s names the guest %s, which tests/vm/run has not got", page, m[1])
			}
		}
	}
}

// Every link to a file of the project leads to one.
func TestDocsLinks(t *testing.T) {
	for _, page := range markdown(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`).FindAllStringSubmatch(readDoc(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// Every configuration that a page shows is one.
func TestDocsExamplesParse(t *testing.T) {
	check := func(page, text string) {
		if _, problems := config.Parse(config.Source{Name: page, Data: []byte(text)}, nil); len(problems) > 0 {
			t.Errorf("%s shows\n%s\n%v", page, text, problems)
		}
	}
	for _, page := range markdown(t) {
		for _, m := range regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(readDoc(t, page), -1) {
			check(page, m[1])
		}
	}
	for _, page := range glob(t, "man/*.[58]") {
		for _, m := range regexp.MustCompile(`(?s)\.Bd -literal[^\n]*\n(.*?)\.Ed`).FindAllStringSubmatch(readDoc(t, page), -1) {
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
	for _, block := range table.FindAllString(readDoc(t, file), -1) {
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
	keys := append(entries(t, "internal/config/polydir.go", fields), entries(t, "internal/config/namespace.go", fields)...)
	args := entries(t, "internal/config/args.go", regexp.MustCompile(`(?s)\nvar argList = .*?\n\}`))
	for page, names := range map[string][]string{"man/polyinst-namespace.conf.5": keys, "man/pam_polyinst.8": args} {
		if len(names) < 10 {
			t.Fatalf("%s: found only %v in the code", page, names)
		}
		text := readDoc(t, page)
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
var speaking = []string{"session", "observe", "apply", "polyinst", "hook", "projquota", "record", "reap", "mntns", "mountfd", "dirfd",
	"selinuxfs", "seconfig", "secontext"}

// unexplained are strings that are no messages, or that nobody meets.
var unexplained = []string{
	"not an absolute path", // of init, which is made absolute
	"file of an unknown type",
	"is no name of an instance",                         // repair has cut the name at its slash
	"no type of file",                                   // fields of file_contexts, which are only counted
	"no context for",                                    // the same
	"is not understood",                                 // the same
	"a private IPC namespace has its own shared memory", // why a rule applies
	"ended with an earlier boot",                        // gc's reasons, in words that need no more
	"it was never finished", "its session has ended",
	"it was made for uid", "there is no account with uid",
	"a session is being opened", "it was last opened", "it is not recorded when it was last opened",
}

// fragments are the parts of a format between its verbs that have some words.
func fragments(format string) []string {
	var out []string
	for _, part := range regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`).Split(format, -1) {
		part = strings.Trim(strings.Join(strings.Fields(part), " "), ` ":;,()[]`)
		if strings.Count(part, " ") >= 2 {
			out = append(out, part)
		}
	}
	return out
}

// Every message of the module stands in a page.
func TestDocsListEveryMessage(t *testing.T) {
	pages := manText(t, glob(t, "man/*.[58]")...)
	look := func(where, message string) {
		for _, f := range fragments(message) {
			if !strings.Contains(pages, f) && !slices.ContainsFunc(unexplained, func(u string) bool { return strings.Contains(f, u) }) {
				t.Errorf("%s: no page has %q", where, f)
			}
		}
	}
	for _, name := range speaking {
		for _, file := range glob(t, "internal/"+name+"/*.go") {
			if strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, "polyinst/plan.go") {
				continue
			}
			goStrings(t, file, look)
		}
	}
	c := readDoc(t, "pam_polyinst/module.c")
	c = regexp.MustCompile(`(?s)/\*.*?\*/|(?m)^#.*$`).ReplaceAllString(c, "")
	c = regexp.MustCompile(`"\s+"`).ReplaceAllString(c, "")
	for _, m := range regexp.MustCompile(`"((?:[^"\\\n]|\\.)*)"`).FindAllStringSubmatch(c, -1) {
		look("module.c", m[1])
	}
}

func goStrings(t *testing.T, file string, see func(where, text string)) {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, filepath.Join(root, file), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				see(files.Position(lit.Pos()).String(), text)
			}
		}
		return true
	})
}

// What the pages list as a message is one: its words stand in the code.
func TestDocsListNoOtherMessage(t *testing.T) {
	var b strings.Builder
	for _, file := range glob(t, "internal/*/*.go", "cmd/*/*.go") {
		if !strings.HasSuffix(file, "_test.go") {
			goStrings(t, file, func(_, text string) { b.WriteString(text + "\n") })
		}
	}
	c := readDoc(t, "pam_polyinst/module.c")
	b.WriteString(strings.ReplaceAll(regexp.MustCompile(`"\s+"`).ReplaceAllString(c, ""), `\"`, `"`))
	code := strings.Join(strings.Fields(b.String()), " ")
	// messages wrap each other, and a value stands in capitals (PATH, N), in
	// quotes, or is a number or a path
	value := regexp.MustCompile(`: |; |"[^"]*"|\b[A-Z][A-Z:]*\b|true\|false|\d+|__\w+__|^/[\w/]+|[(){}]`)
	for _, page := range glob(t, "man/*.8") {
		_, diagnostics, _ := strings.Cut(readDoc(t, page), "\n.Sh DIAGNOSTICS")
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
