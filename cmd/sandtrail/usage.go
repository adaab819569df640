package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/sandtrail/sandtrail"
)

// usage words an error of the command line: what is wrong, what to type
// instead where that can be told, and where help is.
func usage(parser *kong.Kong, args []string, err error) error {
	command, node := "sandtrail", parser.Model.Node
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context.Selected() != nil {
		node = parse.Context.Selected()
		command = node.FullPath()
	}
	better := cmp.Or(mistype(parser.Model.Node, args), misplaced(parser.Model.Node, args),
		unknownCommand(node, err.Error()), second(node, err.Error()), unknownFlag(node, err.Error()), missingWord(node, err.Error()))
	if better != "" {
		err = errors.New(better)
	} else if takesOnlyFlags(node) && strings.HasPrefix(err.Error(), "unexpected argument ") {
		err = fmt.Errorf("%w: %s takes flags only, such as %s", err, command, strings.Join(likelyFlags(node), ", "))
	} else if node.Type == kong.CommandNode && len(node.Positional) > 0 && strings.HasPrefix(err.Error(), "unexpected argument ") {
		err = fmt.Errorf("%w: beside %s, %s takes flags only, such as %s",
			err, node.Positional[len(node.Positional)-1].Summary(), command, strings.Join(likelyFlags(node), ", "))
	}
	return sandtrail.Errorf(sandtrail.CodeInvalid, "%w%s (see %s --help)", err, lengthHint(err.Error()), command)
}

// mistype finds the slips that the parser words badly: a long flag behind a
// single dash, and a flag without its value.
func mistype(node *kong.Node, args []string) string {
	for i := 0; i < len(args); i++ {
		word := args[i]
		name, _, assigned := strings.Cut(word, "=")
		switch {
		case word == "--":
			return ""
		case !strings.HasPrefix(word, "-") || word == "-":
			child := slices.IndexFunc(node.Children, func(child *kong.Node) bool { return child.Name == word })
			if child < 0 {
				return ""
			}
			node = node.Children[child]
		case len(name) > 2 && name[1] != '-' && longFlag(node, "-"+name) != nil:
			return fmt.Sprintf("unknown flag %s, did you mean \"-%s\"?", name, name)
		default:
			f := valueFlag(node, name)
			if f == nil || assigned || name != word {
				continue
			}
			if i++; i == len(args) || args[i] == "--" {
				return fmt.Sprintf("%s: a value is missing, as in %s", name, flagUse(f))
			}
			if negative(args[i]) {
				return fmt.Sprintf("%s: must not be negative, as %s is; write it as in %s", name, args[i], flagUse(f))
			}
		}
	}
	return ""
}

// negative reports whether a word is a number or a duration below zero.
func negative(word string) bool {
	return len(word) > 1 && word[0] == '-' && word[1] >= '0' && word[1] <= '9'
}

// pathOf names a command as it is typed, without the program's name.
func pathOf(node *kong.Node) string {
	_, path, _ := strings.Cut(node.FullPath(), " ")
	return path
}

func longFlag(node *kong.Node, word string) *kong.Flag {
	for _, group := range node.AllFlags(false) {
		for _, f := range group {
			if word == "--"+f.Name {
				return f
			}
		}
	}
	return nil
}

func takesOnlyFlags(node *kong.Node) bool {
	return node.Type == kong.CommandNode && len(node.Children)+len(node.Positional) == 0 && len(likelyFlags(node)) > 0
}

// likelyFlags are the flags that a word was probably meant for: the required
// ones, else the first ones that take a value.
func likelyFlags(node *kong.Node) (flags []string) {
	for _, required := range []bool{true, false} {
		for _, f := range node.Flags {
			if f.Required == required && !f.IsBool() && !f.Hidden && len(flags) < 5 {
				flags = append(flags, flagUse(f))
			}
		}
		if len(flags) > 0 {
			break
		}
	}
	return flags
}

// flagUse is how a flag is written.
func flagUse(f *kong.Flag) string { return "--" + f.Name + "=" + f.FormatPlaceHolder() }

// numbers read flags that are numbers; every one is finite.
func numbers() []kong.Option {
	whole := kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		text, err := wordOf(ctx)
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(text, 10, target.Type().Bits())
		if err != nil {
			return fmt.Errorf("must be a whole number, not %q%s", text, plainNumber(text))
		}
		target.SetInt(n)
		return nil
	})
	real := kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		text, err := wordOf(ctx)
		if err != nil {
			return err
		}
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("must be a number, not %q%s", text, plainNumber(text))
		}
		target.SetFloat(f)
		return nil
	})
	return []kong.Option{kong.KindMapper(reflect.Int, whole), kong.KindMapper(reflect.Int64, whole), kong.KindMapper(reflect.Float64, real)}
}

// plainNumber tells how a number is written that has a unit.
func plainNumber(text string) string {
	digits := strings.TrimRight(text, "%abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	if _, err := strconv.ParseInt(digits, 10, 32); err != nil || digits == text {
		return ""
	}
	return ": write it without a unit, as in " + digits
}

// wordOf is the next word as it was typed.
func wordOf(ctx *kong.DecodeContext) (text string, err error) {
	return text, ctx.Scan.PopValueInto("value", &text)
}
