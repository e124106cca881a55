package install

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// Packages that each Debian machine has on which somebody builds something.
var everywhere = []string{"apt", "bash", "coreutils", "dpkg", "libc-bin"}

// What a story needs, dist/deps installs: a machine that happens to have it would
// hide that.
func TestDepsHasWhatStoriesNeed(t *testing.T) {
	const checkout = "../.."
	if _, err := exec.LookPath("dpkg-query"); err != nil {
		t.Skip(host.NeedsProgram + " dpkg-query")
	}
	programs, packages := dependencies(t, checkout)
	for program, where := range needed(t, checkout) {
		if programs[program] || strings.HasPrefix(program, "a-program-that-nobody-has") {
			continue
		}
		pkg := owner(program)
		if !packages[pkg] && !slices.Contains(everywhere, pkg) {
			t.Errorf("%s: needs %q (package %q), which is not in the table of dist/deps", where, program, pkg)
		}
	}
}

// dependencies are the programs and the Debian packages of the table.
func dependencies(t *testing.T, checkout string) (programs, packages map[string]bool) {
	text, err := os.ReadFile(filepath.Join(checkout, "dist", "deps"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "table='")
	table, _, _ = strings.Cut(table, "\n'")
	programs, packages = map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		for program := range strings.SplitSeq(fields[1], "|") {
			programs[program], programs[filepath.Base(program)] = true, true
		}
		packages[fields[2]] = true
	}
	if len(packages) == 0 {
		t.Fatal("dist/deps: no table is found")
	}
	return programs, packages
}

// needed are the programs that stories name when they call Need, and a place where.
func needed(t *testing.T, checkout string) map[string]string {
	files, err := filepath.Glob(filepath.Join(checkout, "tests", "*", "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	fset := token.NewFileSet()
	for _, file := range files {
		parsed, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "Need" {
				return true
			}
			for _, arg := range call.Args {
				if lit, ok := arg.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					name, _ := strconv.Unquote(lit.Value)
					all[name] = fset.Position(lit.Pos()).String()
				}
			}
			return true
		})
	}
	if len(all) < 20 {
		t.Fatalf("stories need %d programs: they are looked for in another way now", len(all))
	}
	return all
}

// owner is the Debian package of a program on this machine, empty if there is none.
func owner(program string) string {
	path, err := exec.LookPath(program)
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	for _, path := range []string{path, strings.TrimPrefix(path, "/usr")} {
		if out, err := exec.Command("dpkg-query", "-S", path).Output(); err == nil {
			pkg, _, _ := strings.Cut(string(out), ":")
			return pkg
		}
	}
	return ""
}
