// Command crosscheck checks the types of a module's packages, and of what they
// use of others, as they are for other systems: crosscheck GOOS/GOARCH…
//
// It makes no code and links nothing, which is what builds spend their time on.
// Bodies of functions of other modules are not looked at.
package main

import (
	"errors"
	"fmt"
	"go/ast"
	"os"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	for _, platform := range os.Args[1:] {
		if err := check(".", platform, "./..."); err != nil {
			fmt.Fprintf(os.Stderr, "crosscheck: it does not build for %s: %v\n", platform, err)
			os.Exit(1)
		}
	}
}

// check checks packages of the module in a directory for a platform such as
// windows/amd64, without cgo.
func check(dir, platform string, patterns ...string) error {
	goos, goarch, _ := strings.Cut(platform, "/")
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedImports | packages.NeedDeps | packages.NeedFiles | packages.NeedCompiledGoFiles |
			packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesSizes | packages.NeedModule,
		Dir: dir,
		Env: append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0"),
	}, patterns...)
	if err != nil {
		return err
	}
	var all []error
	for p := range packages.Postorder(loaded) {
		for _, err := range p.Errors {
			all = append(all, err)
		}
	}
	for _, p := range loaded {
		all = append(all, withoutBody(p)...)
	}
	return errors.Join(all...)
}

// withoutBody finds the functions that have none. Those of other modules are in
// assembly, of which the module has none itself.
func withoutBody(p *packages.Package) (errs []error) {
	for _, file := range p.Syntax {
		for _, d := range file.Decls {
			if f, is := d.(*ast.FuncDecl); is && f.Body == nil {
				errs = append(errs, fmt.Errorf("%s: the function %s has no body", p.Fset.Position(f.Pos()), f.Name.Name))
			}
		}
	}
	return errs
}
