// Package arch holds the rules of the code's shape: who may import whom, and
// what must not stand in code that runs as root in a login.
package arch

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// floors from the bottom up: a package imports packages of lower floors, or of
// its own. The first element that is a path's beginning is its floor.
// docs/DESIGN.md has the table.
var floors = []string{
	"internal/core",     // decides, and never looks at the system
	"internal/kernel",   // makes the system calls
	"internal/instance", // the format of an instance parent
	"internal/sessions", // what is known of sessions that are open
	"internal/observe",
	"internal/apply",
	"internal/gc",
	"internal/promise",
	"internal/session",
	"internal/serve",
	"cmd/polyinst/internal", // what only the command needs
	"cmd/polyinst", "pam_polyinst",
}

// besides are beside the floors: this test, and what the tests of kernel
// packages use.
var besides = []string{"internal/arch", "internal/kernel/nstest"}

// callers are the packages outside of internal/kernel that make system calls:
// what only the command needs.
var callers = []string{"cmd/polyinst/internal/program"}

// pure are the folders whose packages cannot reach the system, and harmless the
// packages that these may import beside each other.
var (
	pure     = []string{"internal/core/", "cmd/polyinst/internal/convert", "cmd/polyinst/internal/pamstack", "cmd/polyinst/internal/modulelog"}
	harmless = []string{"bytes", "cmp", "crypto/md5", "crypto/sha256", "encoding/binary", "encoding/hex", "encoding/json", "errors", "fmt", "maps", "math", "path", "regexp",
		"slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf8", "github.com/BurntSushi/toml"}
)

const module = "pam_polyinst/"

type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	CgoFiles   []string
	Imports    []string
	Standard   bool
	Module     *struct{ Path string }
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,GoFiles,CgoFiles,Imports,Standard,Module"}, args...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func short(path string) string { return strings.TrimPrefix(path, module) }

// within reports whether a path is one of the folders, or lies in one.
func within(path string, folders []string) bool { return floorOf(path, folders) >= 0 }

func floorOf(path string, folders []string) int {
	return slices.IndexFunc(folders, func(f string) bool {
		f = strings.TrimSuffix(f, "/")
		return path == f || strings.HasPrefix(path, f+"/")
	})
}

// makesCalls reports whether a package may make system calls.
func makesCalls(path string) bool {
	return within(path, append([]string{"internal/kernel"}, callers...))
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range list(t, module+"internal/...", module+"cmd/...", module+"pam_polyinst") {
		name := short(p.ImportPath)
		own := floorOf(name, floors)
		if slices.Contains(besides, name) {
			continue
		}
		if own < 0 {
			t.Errorf("%s is on no floor: give it one here and in docs/DESIGN.md", name)
		}
		for _, i := range p.Imports {
			if strings.HasPrefix(i, module) && floorOf(short(i), floors) > own {
				t.Errorf("%s imports %s, which is above it", name, short(i))
			}
		}
	}
}

func TestOnlyKernelPackagesMakeSystemCalls(t *testing.T) {
	for _, p := range list(t, module+"internal/...", module+"cmd/...", module+"pam_polyinst") {
		name := short(p.ImportPath)
		for _, i := range p.Imports {
			if (i == "golang.org/x/sys/unix" || i == "syscall") && !makesCalls(name) {
				t.Errorf("%s imports %s", name, i)
			}
		}
	}
}

func TestThePureArePure(t *testing.T) {
	seen := 0
	for _, p := range list(t, module+"internal/...", module+"cmd/...") {
		name := short(p.ImportPath)
		if !within(name, pure) {
			continue
		}
		seen++
		for _, i := range p.Imports {
			if !slices.Contains(harmless, i) && !within(short(i), pure) {
				t.Errorf("%s imports %s", name, i)
			}
		}
	}
	if seen < len(pure) {
		t.Errorf("found only %d pure packages", seen)
	}
}

func TestTheModuleLinksLittle(t *testing.T) {
	allowed := []string{"pam_polyinst", "github.com/BurntSushi/toml", "golang.org/x/sys"}
	for _, p := range list(t, "-deps", module+"pam_polyinst") {
		if !p.Standard && !slices.Contains(allowed, p.Module.Path) {
			t.Errorf("the .so links %s", p.ImportPath)
		}
		if p.ImportPath == "net" || p.ImportPath == "os/exec" || p.ImportPath == "log" {
			t.Errorf("the .so links %s", p.ImportPath)
		}
	}
}

// TestOnlyNSSAsksForAccounts: what libc says of an account that it does not find
// is not what the directory says (I-13).
func TestOnlyNSSAsksForAccounts(t *testing.T) {
	for _, p := range list(t, module+"internal/...", module+"cmd/...", module+"pam_polyinst") {
		if name := short(p.ImportPath); name == "internal/kernel/nss" || name == "cmd/polyinst/internal/program" { // which takes on what groups there are
			continue
		}
		for _, name := range append(p.GoFiles, p.CgoFiles...) {
			files := token.NewFileSet()
			f, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if ok && (slices.Contains([]string{"GroupIds", "LookupId", "LookupGroup"}, s.Sel.Name) || is(s.X, "user") && s.Sel.Name == "Lookup") {
					t.Errorf("%s: %s: ask internal/kernel/nss", files.Position(n.Pos()), s.Sel.Name)
				}
				return true
			})
		}
	}
}

func is(e ast.Expr, name string) bool {
	x, ok := e.(*ast.Ident)
	return ok && x.Name == name
}

// TestTheWorkersPath: what the worker runs starts no goroutine (it would be in
// the wrong namespace), and ends no process (it would be without an answer).
func TestTheWorkersPath(t *testing.T) {
	for _, p := range list(t, "-deps", module+"pam_polyinst") {
		if !strings.HasPrefix(p.ImportPath, module) {
			continue
		}
		for _, file := range append(p.GoFiles, p.CgoFiles...) {
			for _, found := range forbidden(t, filepath.Join(p.Dir, file)) {
				t.Error(found)
			}
		}
	}
}

// noted goes through a file's code, and is what look notes of it, with the positions.
func noted(t *testing.T, path string, look func(n ast.Node, note func(ast.Node, string))) (found []string) {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	note := func(n ast.Node, what string) {
		found = append(found, files.Position(n.Pos()).String()+": "+what)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		look(n, note)
		return true
	})
	return found
}

func forbidden(t *testing.T, path string) []string {
	t.Helper()
	return noted(t, path, func(n ast.Node, note func(ast.Node, string)) {
		switch n := n.(type) {
		case *ast.GoStmt:
			note(n, "a go statement")
		case *ast.CallExpr:
			switch f := n.Fun.(type) {
			case *ast.Ident:
				if f.Name == "panic" {
					note(n, "panic")
				}
			case *ast.SelectorExpr:
				if x, ok := f.X.(*ast.Ident); ok && (x.Name == "os" && f.Sel.Name == "Exit" || x.Name == "log") {
					note(n, x.Name+"."+f.Sel.Name)
				}
			}
		}
	})
}

// TestPathsAreWalkedByHandle: outside of the kernel packages nothing of the
// module opens, makes or removes by path.
func TestPathsAreWalkedByHandle(t *testing.T) {
	for _, p := range list(t, "-deps", module+"pam_polyinst") {
		if !strings.HasPrefix(p.ImportPath, module) || makesCalls(short(p.ImportPath)) {
			continue
		}
		for _, i := range p.Imports {
			if i == "path/filepath" || i == "io/ioutil" {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
		for _, file := range p.GoFiles {
			for _, found := range osCalls(t, filepath.Join(p.Dir, file)) {
				t.Error(found)
			}
		}
	}
}

// TestTheCIsSmall: what runs in the login program, or before Go, stays so small
// that one person can read it in one go.
func TestTheCIsSmall(t *testing.T) {
	const most = 1000 // lines that are not blank
	files, err := filepath.Glob("../../pam_polyinst/*.c")
	if err != nil || len(files) == 0 {
		t.Fatal("no C code: ", err)
	}
	lines := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.TrimSpace(line) != "" {
				lines++
			}
		}
	}
	if lines > most {
		t.Errorf("the C code has %d lines, want at most %d", lines, most)
	}
}

func osCalls(t *testing.T, path string) []string {
	t.Helper()
	return noted(t, path, func(n ast.Node, note func(ast.Node, string)) {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "os" && s.Sel.Name != "Getpid" {
				note(n, "os."+s.Sel.Name)
			}
		}
	})
}

var (
	// command is a command in a message: between backquotes, or by its name.
	command = regexp.MustCompile("`(?:polyinst|getent|make|fuser|mount|ip|nscd)\\b[^`]*`?|\\b(?:chmod|chown|chattr|setsebool|setfattr|semanage|tune2fs|restorecon) [^,;`)]*")
	verb    = regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z%]`)
)

// TestCommandsInMessagesAreQuoted: a name in a command that a message names is
// written as a word of the shell, whatever is in it.
func TestCommandsInMessagesAreQuoted(t *testing.T) {
	for _, p := range list(t, module+"internal/...", module+"cmd/...", module+"pam_polyinst") {
		for _, name := range append(p.GoFiles, p.CgoFiles...) {
			files := token.NewFileSet()
			f, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				for _, arg := range unquoted(n) {
					t.Errorf("%s: a name in a command: shellword.Quote it", files.Position(arg.Pos()))
				}
				return true
			})
		}
	}
}

// unquoted are what a node puts into a command and does not quote.
func unquoted(n ast.Node) []ast.Expr {
	var out []ast.Expr
	check := func(e ast.Expr) {
		if c, ok := e.(*ast.CallExpr); ok {
			if s, ok := c.Fun.(*ast.SelectorExpr); ok && is(s.X, "shellword") && (s.Sel.Name == "Quote" || s.Sel.Name == "QuoteAll") {
				return
			}
		}
		out = append(out, e)
	}
	switch n := n.(type) {
	case *ast.BinaryExpr: // "chattr -ia " + path
		text := literal(n.X)
		if all := command.FindAllStringIndex(text, -1); len(all) > 0 && all[len(all)-1][1] == len(text) && !strings.HasSuffix(text, "`") {
			check(n.Y)
		}
	case *ast.CallExpr:
		for i, arg := range n.Args {
			text := literal(arg)
			nth := i
			for _, v := range verb.FindAllStringIndex(text, -1) {
				if text[v[1]-1] == '%' {
					continue
				}
				nth++
				within := slices.ContainsFunc(command.FindAllStringIndex(text, -1), func(c []int) bool { return c[0] <= v[0] && v[0] < c[1] })
				if within && strings.ContainsRune("svq", rune(text[v[1]-1])) && nth < len(n.Args) {
					check(n.Args[nth])
				}
			}
			if text != "" {
				break
			}
		}
	}
	return out
}

// literal is the text of a string literal; empty: it is none.
func literal(e ast.Expr) string {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return ""
	}
	text, _ := strconv.Unquote(l.Value)
	return text
}
