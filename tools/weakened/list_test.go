package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A check whose text has changed would be left out by the next `make weakened`.
func TestEveryCheckIsWhereTheListSays(t *testing.T) {
	where, err := stories(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range weakenings {
		if _, err := w.runs(".", where); err != nil {
			t.Error(err)
		}
		text, err := os.ReadFile(filepath.Join("..", "..", w.file))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.apply(text); err != nil {
			t.Error(err)
		}
	}
}
