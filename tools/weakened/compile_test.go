package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A build that does not compile is one that no test notices: it is not tried.
func TestEveryWeakenedBuildCompiles(t *testing.T) {
	checkout := filepath.Join("..", "..")
	packages := listed(t, checkout)
	for _, w := range weakenings {
		text, err := os.ReadFile(filepath.Join(checkout, w.file))
		if err != nil {
			t.Fatal(err)
		}
		weak, err := w.apply(text)
		if err != nil {
			t.Error(err)
			continue
		}
		switch filepath.Ext(w.file) {
		case ".go":
			err = packages.check(checkout, w.file, weak)
		case ".c":
			err = compilesC(filepath.Join(checkout, filepath.Dir(w.file)), weak)
		}
		if err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
	}
}

// pkg is what `go list` tells of a package.
type pkg struct {
	ImportPath, Dir, Export string
	GoFiles, CgoFiles       []string
}

type packages map[string]pkg // by import path

func listed(t *testing.T, checkout string) packages {
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,CgoFiles", "./cmd/...", "./internal/...", "./pam_polyinst")
	cmd.Dir = checkout
	cmd.Env = append(os.Environ(), "GOFLAGS=") // not those of the tools' module
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := packages{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

// check checks the types of the package in which the file has this text.
func (all packages) check(checkout, file string, text []byte) error {
	p, ok := all["pam_polyinst/"+filepath.Dir(file)]
	if !ok {
		return fmt.Errorf("%s: no package", file)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
		var src any
		if name == filepath.Base(file) {
			src = text
		}
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	conf := types.Config{
		FakeImportC: true,
		Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
			return os.Open(all[path].Export)
		}),
	}
	_, err := conf.Check(p.ImportPath, fset, files, nil)
	return err
}

func compilesC(dir string, text []byte) error {
	cmd := exec.Command("cc", "-std=gnu11", "-fsyntax-only", "-DPOLYINST_BUILD=x", "-x", "c", "-")
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
