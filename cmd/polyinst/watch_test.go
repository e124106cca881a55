package main

import (
	"testing"
	"time"
)

// A user who has a polydir of theirs change for ever is told of once a minute, and what
// it is in the end is told.
func TestWatchingTellsWithinBounds(t *testing.T) {
	var p watching
	now := time.Unix(1_000_000, 0)
	if p.tell(false, now) {
		t.Error("told of what is as it was")
	}
	told := 0
	for range 1000 { // 200 s
		now = now.Add(200 * time.Millisecond)
		if lost := !p.lost; p.tell(lost, now) {
			told++
		} else if told < watchOften || p.lost != lost {
			t.Fatalf("after %d: not told, or not noted", told)
		}
	}
	if want := watchOften + 3; told != want {
		t.Errorf("told %d times, want %d", told, want)
	}
	end := !p.told
	if p.tell(end, now) {
		t.Errorf("told at once, after %d times", told)
	}
	if !p.tell(end, now.Add(watchIdle)) {
		t.Errorf("what it is in the end is not told: %+v", p)
	}
}
