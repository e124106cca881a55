package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/bits"
	"sort"
	"strconv"
	"strings"
)

// variable tells a test binary which mutant it is.
const variable = "MUTANT"

// switchSource is what the mutated package gets beside its own files.
const switchSource = `package PACKAGE

import (
	"os"
	"strconv"
)

var mutantNow, _ = strconv.Atoi(os.Getenv("MUTANT"))

// mutantOf evaluates the expression, or what the present mutant makes of it.
func mutantOf(first int, original func() bool, others ...func() bool) bool {
	if i := mutantNow - first; i >= 0 && i < len(others) {
		return others[i]()
	}
	return original()
}
`

// mutant is one change.
type mutant struct {
	file, source, change string
	line                 int
}

// String is the name by which a mutant is known, in spite of lines that come and
// go around it.
func (m mutant) String() string { return fmt.Sprintf("%s: %s: %s", m.file, m.source, m.change) }

// site is a place that can be changed: a condition, or a statement that can be
// left out.
type site struct {
	pos, end  int // offsets in the file
	statement bool
	others    []change // of a condition
}

type change struct{ text, says string }

// mutate finds the mutants of a file, and returns it with all of them in it.
// They are numbered from first on.
//
// The mutants: every condition, and every part of one, is always true or always
// false; a bound is moved by one; a mask loses one of its bits; a statement that
// only calls or assigns is left out.
func mutate(file string, source []byte, first int) ([]mutant, []byte, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, source, parser.ParseComments)
	if err != nil {
		return nil, nil, err
	}
	f := finder{set: set, source: source}
	for _, d := range tree.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			f.function(fn)
		}
	}
	// outer ones first
	sort.SliceStable(f.sites, func(i, j int) bool {
		a, b := f.sites[i], f.sites[j]
		return a.pos < b.pos || a.pos == b.pos && a.end > b.end
	})
	r := renderer{source: source, sites: f.sites, next: first}
	text := r.render(0, len(source))
	lines := strings.Split(string(source), "\n")
	for i := range r.mutants {
		m := &r.mutants[i]
		m.file, m.line = file, strings.Count(string(source[:m.line]), "\n")+1
		m.source = strings.TrimSpace(lines[m.line-1])
	}
	return r.mutants, []byte(text), nil
}

type finder struct {
	set    *token.FileSet
	source []byte
	sites  []site
}

func (f *finder) text(n ast.Node) string {
	return string(f.source[f.offset(n.Pos()):f.offset(n.End())])
}
func (f *finder) offset(p token.Pos) int { return f.set.Position(p).Offset }

func (f *finder) function(fn *ast.FuncDecl) {
	yields := func(t *ast.FuncType) bool { // a single bool
		if t.Results == nil || len(t.Results.List) != 1 || len(t.Results.List[0].Names) > 1 {
			return false
		}
		id, ok := t.Results.List[0].Type.(*ast.Ident)
		return ok && id.Name == "bool"
	}
	var visit func(n ast.Node, isBool bool)
	visit = func(n ast.Node, isBool bool) {
		ast.Inspect(n, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				visit(n.Body, yields(n.Type))
				return false
			case *ast.IfStmt:
				f.condition(n.Cond)
			case *ast.ForStmt:
				if n.Cond != nil {
					f.condition(n.Cond)
				}
			case *ast.SwitchStmt:
				if n.Tag == nil {
					for _, c := range n.Body.List {
						for _, e := range c.(*ast.CaseClause).List {
							f.condition(e)
						}
					}
				}
			case *ast.ReturnStmt:
				if isBool && len(n.Results) == 1 {
					f.condition(n.Results[0])
				}
			case *ast.BinaryExpr:
				switch n.Op {
				case token.LAND, token.LOR:
					f.condition(n)
					f.condition(n.X)
					f.condition(n.Y)
				case token.EQL, token.NEQ, token.LSS, token.GTR, token.LEQ, token.GEQ:
					f.condition(n)
				}
			case *ast.UnaryExpr:
				if n.Op == token.NOT {
					f.condition(n)
				}
			case *ast.BlockStmt:
				f.statements(n.List)
			case *ast.CaseClause:
				f.statements(n.Body)
			case *ast.DeferStmt, *ast.GoStmt, *ast.SelectStmt:
				// a handle that is not closed is for other tests
				return false
			}
			return true
		})
	}
	visit(fn.Body, yields(fn.Type))
}

// statements notes those of a list that can be left out.
func (f *finder) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt:
			if _, ok := s.X.(*ast.CallExpr); !ok {
				continue
			}
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.IncDecStmt:
		default:
			continue
		}
		f.sites = append(f.sites, site{pos: f.offset(s.Pos()), end: f.offset(s.End()), statement: true})
	}
}

func (f *finder) condition(e ast.Expr) {
	s := site{pos: f.offset(e.Pos()), end: f.offset(e.End())}
	for _, known := range f.sites {
		if known.pos == s.pos && known.end == s.end {
			return
		}
	}
	what := strings.Join(strings.Fields(f.text(e)), " ")
	for _, always := range []string{"true", "false"} {
		if what != always {
			s.others = append(s.others, change{always, "`" + what + "` always " + always})
		}
	}
	if b, ok := e.(*ast.BinaryExpr); ok {
		moved := map[token.Token]string{token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">"}[b.Op]
		if moved != "" {
			text := f.text(b.X) + " " + moved + " " + f.text(b.Y)
			s.others = append(s.others, change{text, "`" + what + "` with " + moved})
		}
		s.others = append(s.others, f.masks(b)...)
	}
	f.sites = append(f.sites, s)
}

// masks are the changes of a comparison whose left side is a mask of more than
// one bit.
func (f *finder) masks(e *ast.BinaryExpr) []change {
	and, ok := e.X.(*ast.BinaryExpr)
	if !ok || and.Op != token.AND {
		return nil
	}
	lit, ok := and.Y.(*ast.BasicLit)
	if !ok || lit.Kind != token.INT {
		return nil
	}
	mask, err := strconv.ParseUint(lit.Value, 0, 64)
	if err != nil || bits.OnesCount64(mask) < 2 {
		return nil
	}
	var out []change
	for bit := uint64(1); bit <= mask; bit <<= 1 {
		if mask&bit == 0 {
			continue
		}
		less := fmt.Sprintf("0o%o", mask&^bit)
		text := string(f.source[f.offset(e.Pos()):f.offset(lit.Pos())]) + less + string(f.source[f.offset(lit.End()):f.offset(e.End())])
		out = append(out, change{text, fmt.Sprintf("mask %s is %s", lit.Value, less)})
	}
	return out
}

type renderer struct {
	source  []byte
	sites   []site
	next    int
	mutants []mutant // line holds an offset
}

// render is the source from one offset to another with the sites in it.
func (r *renderer) render(from, to int) string {
	var b strings.Builder
	for len(r.sites) > 0 && r.sites[0].pos < to {
		s := r.sites[0]
		r.sites = r.sites[1:]
		b.Write(r.source[from:s.pos])
		b.WriteString(r.site(s))
		from = s.end
	}
	b.Write(r.source[from:to])
	return b.String()
}

func (r *renderer) site(s site) string {
	id := r.next
	if s.statement {
		r.next++
		r.mutants = append(r.mutants, mutant{line: s.pos, change: "left out"})
		return fmt.Sprintf("if mutantNow != %d { %s }", id, r.render(s.pos, s.end))
	}
	r.next += len(s.others)
	var others strings.Builder
	for _, o := range s.others {
		r.mutants = append(r.mutants, mutant{line: s.pos, change: o.says})
		fmt.Fprintf(&others, ", func() bool { return %s }", o.text)
	}
	return fmt.Sprintf("mutantOf(%d, func() bool { return %s }%s)", id, r.render(s.pos, s.end), others.String())
}
