package apply

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/nstest"
	"pam_polyinst/internal/observe"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// A context that several users share is of the machine's security module; here a
// plan says so.
type place struct {
	t    *testing.T
	rule plan.Rule
}

func newPlace(t *testing.T) place {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 1777 0 polydir", "d 0000 0 parent")
	return place{t, plan.Rule{Config: &config.Polydir{Method: config.MethodUser},
		Path: dir + "/polydir", Parent: dir + "/parent"}}
}

var users = map[string]plan.Subject{"alice": {User: "alice", UID: 1001, GID: 1001}, "bob": {User: "bob", UID: 1002, GID: 1002}}

var sessions = 0

// stage opens a session up to where its instance is ready to be attached.
func (p place) stage(user string, w instance.Waits, change func(*plan.Step)) (*Staged, *plan.Refusal) {
	p.t.Helper()
	sessions++
	m := plan.Machine{Random: fmt.Sprintf("%024x", sessions)}
	s := users[user]
	s.User = "shared" // the one name that the instance has
	for range 2 {
		scene, r := observe.Rule(nil, p.rule, s, m, nil, dirfd.NoUID)
		if r != nil {
			p.t.Fatal(r)
		}
		step, r := plan.Decide(p.rule, s, scene.Facts, m)
		if r != nil {
			scene.Close()
			return nil, r
		}
		if change != nil {
			change(&step)
		}
		staged, r := Stage(step, scene, s, config.PropagationPrivate, w)
		scene.Close()
		if r == nil || !r.Again {
			return staged, r
		}
	}
	p.t.Fatal("it changes all the time")
	return nil, nil
}

func (p place) names() []string {
	var names []string
	all, err := os.ReadDir(p.rule.Parent)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

func shared(s *plan.Step) { s.Shared = true }

// sharedWithInit is as Decide plans it for an init script that is for new
// instances.
func sharedWithInit(s *plan.Step) {
	s.Shared = true
	if s.Source == plan.NewInstance {
		s.Init = &plan.Init{Path: "/bin/true", Timeout: time.Minute, Args: []string{s.Path, s.Parent + "/" + s.Name, "1"}}
	}
}

func soon() instance.Waits {
	return instance.Waits{Turn: time.Now(), Lock: time.Now().Add(time.Minute)}
}

// Of two users whose instance is one, the first does not come to an end in their
// init script: the second does not wait for them, and the first finds the second's.
func TestSharedInstanceWithInit(t *testing.T) {
	p := newPlace(t)
	alice, r := p.stage("alice", soon(), sharedWithInit)
	if r != nil {
		t.Fatal(r)
	}
	if !alice.Exclusive() || alice.Impatient() {
		t.Error("it is not alice's turn")
	}
	hers := alice.Step.Init.Args[1]
	if n := p.names(); len(n) != 2 || hers != p.rule.Parent+"/"+n[1] || !strings.HasPrefix(n[1], ".new.shared.") {
		t.Errorf("alice's script runs in %s, and there is %q", hers, n)
	}
	bob, r := p.stage("bob", soon(), sharedWithInit)
	if r != nil {
		t.Fatal(r)
	}
	if bob.Exclusive() || !bob.Impatient() {
		t.Error("bob has got alice's turn")
	}
	if r := RunInits([]*Staged{bob}, time.Now().Add(time.Minute), func(_, line string) { t.Error(line) }); r != nil {
		t.Fatal(r)
	}
	bobs := bob.Root
	bob.Close()
	if !slices.Contains(p.names(), "shared") {
		t.Fatalf("bob has finished, and there is %q", p.names())
	}
	r = RunInits([]*Staged{alice}, time.Now().Add(time.Minute), func(string, string) {})
	if r == nil || !r.Again {
		t.Fatalf("alice has finished an instance of her own: %v", r)
	}
	alice.Undo()
	again, r := p.stage("alice", soon(), sharedWithInit)
	if r != nil {
		t.Fatal(r)
	}
	if again.Step.Source != plan.ExistingInstance || again.Step.Init != nil || again.Root != bobs {
		t.Errorf("alice has got %v, %v", again.Step.Source, again.Root)
	}
	again.Close()
	if n := p.names(); !slices.Equal(n, []string{".lock", "shared"}) {
		t.Errorf("left: %q", n)
	}
}

// Where a script is run for each session, one that does not come to an end is not
// waited for either.
func TestSharedInstanceWithInitAlways(t *testing.T) {
	p := newPlace(t)
	always := func(s *plan.Step) {
		s.Shared, s.InitAlways = true, true
		s.Init = &plan.Init{Path: "/bin/true", Timeout: time.Minute, Args: []string{s.Path, s.Parent + "/" + s.Name, "0"}}
	}
	first, r := p.stage("bob", soon(), shared)
	if r != nil {
		t.Fatal(r)
	}
	first.Close()
	alice, r := p.stage("alice", soon(), always)
	if r != nil {
		t.Fatal(r)
	}
	defer alice.Close()
	bob, r := p.stage("bob", soon(), always)
	if r != nil {
		t.Fatal(r)
	}
	defer bob.Close()
	if alice.Impatient() || !bob.Impatient() || alice.Root != bob.Root {
		t.Error("they are not in one instance, each with a script of their own")
	}
}

// A name that two accounts claim is one's, from the lock's first moment on.
func TestTwoAccountsOneName(t *testing.T) {
	p := newPlace(t)
	alice, r := p.stage("alice", soon(), nil)
	if r != nil {
		t.Fatal(r)
	}
	// as if she had been stopped before her instance got its name
	if err := os.Rename(p.rule.Parent+"/shared", p.rule.Parent+"/gone"); err != nil {
		t.Fatal(err)
	}
	bob, r := p.stage("bob", instance.Waits{Lock: time.Now()}, nil)
	if r == nil {
		bob.Close()
		t.Error("bob got alice's name")
	} else if r.Fault != plan.FaultUser || !strings.Contains(r.Reason, "held for too long") {
		t.Error(r)
	}
	// she goes on
	if err := os.Rename(p.rule.Parent+"/gone", p.rule.Parent+"/shared"); err != nil {
		t.Fatal(err)
	}
	alice.Close()
	if _, r := p.stage("bob", soon(), nil); r == nil || !strings.Contains(r.Reason, "was made for uid 1001") {
		t.Errorf("bob uses alice's instance: %v", r)
	}
}

// Where nothing can be renamed, one session makes the instance alone: what an
// earlier one left goes, and whoever waits is told so in time.
func TestUnfinishedInstanceIsMadeAlone(t *testing.T) {
	p := newPlace(t)
	init := func(s *plan.Step) {
		if s.Source == plan.NewInstance {
			s.Init = &plan.Init{Path: "/bin/true", Timeout: time.Minute, Args: []string{"", s.Parent + "/" + s.Name}}
		}
	}
	alice, r := p.stage("alice", soon(), init)
	if r != nil {
		t.Fatal(r)
	}
	if !alice.Exclusive() || alice.Step.Init.Args[1] != p.rule.Parent+"/shared" {
		t.Error("a script that one user's sessions have does not know the instance by its name")
	}
	w := instance.Waits{Turn: time.Now(), Lock: time.Now()}
	if _, r := p.stage("alice", w, init); r == nil || r.Fault != plan.FaultUser || !strings.Contains(r.Reason, "held for too long") {
		t.Errorf("it is not said what is waited for: %v", r)
	}
	if err := os.WriteFile(p.rule.Parent+"/shared/half", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	alice.Close() // she died
	bob, r := p.stage("alice", soon(), init)
	if r != nil {
		t.Fatal(r)
	}
	defer bob.Close()
	if _, err := os.Stat(p.rule.Parent + "/shared/half"); err == nil {
		t.Error("what was never finished is used")
	}
	if r := RunInits([]*Staged{bob}, time.Now().Add(time.Minute), func(string, string) {}); r != nil {
		t.Error(r)
	}
	if bob.Exclusive() {
		t.Error("others wait")
	}
}

// Locks and what is not finished have names that no other session has.
func TestTemporaryNamesAreOwn(t *testing.T) {
	p := newPlace(t)
	alice, r := p.stage("alice", soon(), sharedWithInit)
	if r != nil {
		t.Fatal(r)
	}
	defer alice.Undo()
	for _, n := range p.names() {
		if rest, ok := layout.OfTemporary(n); ok && rest != "shared" {
			t.Errorf("%s is of %q", n, rest)
		}
	}
	locks, err := filepath.Glob(p.rule.Parent + "/.lock/*")
	if err != nil || len(locks) != 1 {
		t.Errorf("locks %q, %v", locks, err)
	}
}
