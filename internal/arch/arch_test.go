// Package arch holds the rules of the code's shape: who may import whom, and
// what must not stand in code that runs as root in a login.
package arch

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers from the bottom up: a package imports packages of lower layers, or of
// its own, never of a higher one. docs/DESIGN.md has the table.
var layers = [][]string{
	{"config", "secontext", "seconfig", "auditmsg"},
	{"polyinst", "convert", "pamstack"},
	{"dirfd", "mountfd", "mntns", "hostconn", "selinuxfs", "lsm", "hook", "auditnl", "projquota", "terminal", "program"},
	{"record", "observe", "apply", "live", "reap"},
	{"session"},
}

// mayMakeSystemCalls are the kernel packages, alone.
var mayMakeSystemCalls = []string{"dirfd", "mountfd", "mntns", "hostconn", "selinuxfs", "lsm", "hook", "auditnl", "projquota", "terminal", "program"}

// pure packages import nothing that could reach the system.
var pure = map[string][]string{
	"config":    {"bytes", "cmp", "errors", "fmt", "math", "slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf8", "github.com/BurntSushi/toml", "maps"},
	"secontext": {"fmt", "strings"},
	"auditmsg":  {"encoding/hex", "strconv", "strings"},
	"pamstack":  {"fmt", "slices", "sort", "strconv", "strings", "pam_polyinst/internal/config"},
	"polyinst":  {"time", "crypto/md5", "crypto/sha256", "encoding/binary", "encoding/hex", "errors", "fmt", "slices", "sort", "strconv", "strings", "pam_polyinst/internal/config"},
}

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

func short(path string) string { return strings.TrimPrefix(path, module+"internal/") }

func layerOf(name string) int {
	return slices.IndexFunc(layers, func(l []string) bool { return slices.Contains(l, name) })
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range list(t, module+"internal/...") {
		own := layerOf(short(p.ImportPath))
		if name := short(p.ImportPath); own < 0 && name != "arch" && name != "nstest" {
			t.Errorf("%s is in no layer: give it one here and in docs/DESIGN.md", name)
		}
		for _, i := range p.Imports {
			if strings.HasPrefix(i, module) && layerOf(short(i)) > own {
				t.Errorf("%s imports %s, which is above it", short(p.ImportPath), short(i))
			}
		}
	}
}

func TestOnlyKernelPackagesMakeSystemCalls(t *testing.T) {
	for _, p := range list(t, module+"internal/...", module+"cmd/...", module+"pam_polyinst") {
		name := short(p.ImportPath)
		for _, i := range p.Imports {
			if (i == "golang.org/x/sys/unix" || i == "syscall") && !slices.Contains(mayMakeSystemCalls, name) && name != "nstest" {
				t.Errorf("%s imports %s", name, i)
			}
		}
	}
}

func TestThePureArePure(t *testing.T) {
	for name, allowed := range pure {
		for _, i := range list(t, module+"internal/"+name)[0].Imports {
			if !slices.Contains(allowed, i) {
				t.Errorf("%s imports %s", name, i)
			}
		}
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

func forbidden(t *testing.T, path string) []string {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	note := func(n ast.Node, what string) {
		found = append(found, files.Position(n.Pos()).String()+": "+what)
	}
	ast.Inspect(f, func(n ast.Node) bool {
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
		return true
	})
	return found
}

// TestPathsAreWalkedByHandle: outside of the kernel packages nothing of the
// module opens, makes or removes by path.
func TestPathsAreWalkedByHandle(t *testing.T) {
	for _, p := range list(t, "-deps", module+"pam_polyinst") {
		if !strings.HasPrefix(p.ImportPath, module) || slices.Contains(mayMakeSystemCalls, short(p.ImportPath)) {
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

func osCalls(t *testing.T, path string) []string {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "os" && s.Sel.Name != "Getpid" {
				found = append(found, files.Position(n.Pos()).String()+": os."+s.Sel.Name)
			}
		}
		return true
	})
	return found
}
