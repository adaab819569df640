package recorder_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail/recorder"
)

// A source in another encoding (PEP 263) is read as Python does, or not at all.
func TestPythonClassesOfOtherEncodings(t *testing.T) {
	tests := map[string]struct {
		source string
		want   []string
	}{
		"UTF-8":                        {"class Bär: pass\n", []string{"Bär"}},
		"UTF-8, declared":              {"# vim: set fileencoding=utf_8 :\nclass Bär: pass\n", []string{"Bär"}},
		"Latin-1":                      {"# -*- coding: latin-1 -*-\nclass B\xe4r: pass\n", []string{"Bär"}},
		"Latin-1 in the second line":   {"#!/usr/bin/python3\r\n# coding=iso-8859-1\r\nclass B\xe4r: pass\n", []string{"Bär"}},
		"plain ASCII in another":       {"# coding: gbk\nclass Bear: pass\n", []string{"Bear"}},
		"another":                      {"# coding: gbk\nclass B\xd0\x5cr: pass\nclass C: pass\n", nil},
		"one that is no kind of ASCII": {"# coding: utf-7\nclass Bear: pass\n", nil},
		"an unknown one":               {"# coding: klingon\nclass Bear: pass\n", nil},
		"a mark that contradicts":      {"\xef\xbb\xbf# coding: latin-1\nclass Bear: pass\n", nil},
		"none, and no UTF-8":           {"class B\xe4r: pass\nclass C: pass\n", nil},
		"a declaration behind code":    {"import os\n# coding: latin-1\nclass B\xc3\xa4r: pass\n", []string{"Bär"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, recorder.PythonClasses([]byte(test.source))); diff != "" {
				t.Error(diff)
			}
		})
	}
}
