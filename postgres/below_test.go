package postgres_test

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A function that is given a transaction or a connection cannot reach the pool:
// it would wait for another connection while its caller holds one, and with
// enough callers all would wait for ever.
func TestPoolIsOutOfReachBelowATransaction(t *testing.T) {
	fset, files, info := typed(t)
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			var head []*ast.FieldList
			var body *ast.BlockStmt
			switch f := n.(type) {
			case *ast.FuncDecl:
				head, body = []*ast.FieldList{f.Recv, f.Type.Params}, f.Body
			case *ast.FuncLit:
				head, body = []*ast.FieldList{f.Type.Params}, f.Body
			default:
				return true
			}
			if !holdsConnection(head, info) {
				return true
			}
			for _, part := range []ast.Node{head[0], head[len(head)-1], body} {
				findPool(part, fset, info, t)
			}
			return false
		})
	}
}

// Every transaction says its isolation level, because all begin in one place.
func TestTransactionsBeginInOnePlace(t *testing.T) {
	fset, files, info := typed(t)
	begun := 0
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			selected, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(selected.Sel.Name, "Begin") || nests(call, info) {
				return true
			}
			if begun++; begun > 1 {
				t.Errorf("%s: %s: begin transactions by begin", fset.Position(n.Pos()), selected.Sel.Name)
			}
			return true
		})
	}
	if begun == 0 {
		t.Error("the place was not found")
	}
}

// nests reports whether a transaction begins within another.
func nests(call *ast.CallExpr, info *types.Info) bool {
	for _, arg := range call.Args {
		if named(info.TypeOf(arg)) == "github.com/jackc/pgx/v5.Tx" {
			return true
		}
	}
	return false
}

func holdsConnection(head []*ast.FieldList, info *types.Info) bool {
	for _, list := range head {
		if list == nil {
			continue
		}
		for _, field := range list.List {
			switch named(info.TypeOf(field.Type)) {
			case "github.com/jackc/pgx/v5.Tx", "github.com/jackc/pgx/v5.Conn", "github.com/jackc/pgx/v5/pgxpool.Conn":
				return true
			}
		}
	}
	return false
}

func findPool(part ast.Node, fset *token.FileSet, info *types.Info, t *testing.T) {
	if list, ok := part.(*ast.FieldList); part == nil || ok && list == nil {
		return
	}
	ast.Inspect(part, func(n ast.Node) bool {
		ident, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		if v, ok := info.ObjectOf(ident).(*types.Var); ok && !v.IsField() && reachesPool(v.Type(), map[types.Type]bool{}) {
			t.Errorf("%s: %s has the pool, below a connection", fset.Position(ident.Pos()), ident.Name)
		}
		return true
	})
}

// reachesPool reports whether a value of a type has the pool in it.
func reachesPool(typ types.Type, seen map[types.Type]bool) bool {
	if seen[typ] {
		return false
	}
	seen[typ] = true
	switch named(typ) {
	case "github.com/jackc/pgx/v5/pgxpool.Pool", "github.com/sandtrail/sandtrail/postgres.transactor":
		return true
	}
	switch u := typ.Underlying().(type) {
	case *types.Pointer:
		return reachesPool(u.Elem(), seen)
	case *types.Slice:
		return reachesPool(u.Elem(), seen)
	case *types.Struct:
		for i := range u.NumFields() {
			if name := named(typ); strings.HasPrefix(name, "github.com/jackc/") {
				return false
			}
			if reachesPool(u.Field(i).Type(), seen) {
				return true
			}
		}
	}
	return false
}

// named is the full name of a type or of what it points to, "" if it has none.
func named(typ types.Type) string {
	if p, ok := typ.(*types.Pointer); ok {
		typ = p.Elem()
	}
	if n, ok := types.Unalias(typ).(*types.Named); ok && n.Obj().Pkg() != nil {
		return n.Obj().Pkg().Path() + "." + n.Obj().Name()
	}
	return ""
}

// typed is the source of the package, with the types of everything in it.
func typed(t *testing.T) (*token.FileSet, []*ast.File, *types.Info) {
	t.Helper()
	list, err := osexec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(list)) {
		path, export, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[path] = export
	}
	fset := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })}
	if _, err := config.Check("github.com/sandtrail/sandtrail/postgres", fset, files, info); err != nil {
		t.Fatal(err)
	}
	return fset, files, info
}
