package pamstack

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const ours = "session required pam_polyinst.so"

// Every file of testdata/enable is a directory of PAM stacks in a distribution's
// manner, the services to be enabled, and what becomes of the files.
func TestEnable(t *testing.T) {
	files, _ := filepath.Glob("testdata/enable/*.txt")
	if len(files) < 15 {
		t.Fatalf("%d files", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			names, parts := sections(string(raw))
			d := Dir{}
			var services []string
			var instead func(File) ([]byte, error)
			for _, name := range names {
				switch name {
				case "enable --convert":
					instead = func(f File) ([]byte, error) {
						return bytes.ReplaceAll(f.Data, []byte(peer), []byte(Module)), nil
					}
					services = strings.Fields(parts[name])
				case "enable":
					services = strings.Fields(parts[name])
				case "want":
				default:
					d[name] = File{"/etc/pam.d/" + name, []byte(parts[name])}
				}
			}
			got := told(d, services, instead)
			if got != parts["want"] {
				if !*update {
					t.Fatalf("got:\n%swant:\n%s", got, parts["want"])
				}
				head, _, _ := strings.Cut(string(raw), "-- want --\n")
				if err := os.WriteFile(file, []byte(head+"-- want --\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// told is what Enable does, and what Disable then says.
func told(d Dir, services []string, instead func(File) ([]byte, error)) string {
	changes, covered, err := d.Enable(services, ours, instead)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	var b strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&b, "%s:\n%s", c.Name, marked(c))
	}
	for _, name := range d.Names() {
		if e, ok := covered[name]; ok {
			fmt.Fprintf(&b, "%s: covered by %s\n", name, e.Pos)
		}
	}
	var own []string
	for _, c := range changes {
		own = append(own, c.Name)
	}
	now := d.With(changes)
	fmt.Fprintf(&b, "reaching: %s\n", strings.Join(now.Reaching(own), " "))
	for _, f := range Check(Machine{Stacks: now}) {
		fmt.Fprintf(&b, "check: %s\n", f)
	}
	if again, _, err := now.Enable(services, ours, instead); err != nil || len(again) > 0 {
		fmt.Fprintf(&b, "TWICE: %v %v\n", again, err)
	}
	back, elsewhere := now.Disable(own)
	for _, c := range back {
		if string(c.New) != string(d[c.Name].Data) && instead == nil && !strings.Contains(string(d[c.Name].Data), Module) {
			fmt.Fprintf(&b, "NOT BACK: %s\n%s", c.Name, c.New)
		}
	}
	for _, name := range own {
		if e, ok := elsewhere[name]; ok {
			fmt.Fprintf(&b, "%s: still covered by %s\n", name, e.Pos)
		}
	}
	return b.String()
}

// marked are the added lines of a file, each with the two before and behind it.
func marked(c Change) string {
	old, now := strings.SplitAfter(string(c.Old), "\n"), strings.SplitAfter(string(c.New), "\n")
	added := map[int]bool{}
	for i, j := 0, 0; j < len(now); j++ {
		if i < len(old) && old[i] == now[j] {
			i++
		} else {
			added[j] = true
			if len(old) == len(now) {
				i++
			}
		}
	}
	var b strings.Builder
	for j, text := range now {
		sign := " "
		if added[j] {
			sign = "+"
		}
		if near := added[j-2] || added[j-1] || added[j] || added[j+1] || added[j+2]; near && text != "" {
			fmt.Fprintf(&b, "%s%3d %s\n", sign, j+1, strings.TrimSuffix(text, "\n"))
		}
	}
	return b.String()
}

// What is put in is taken out again, and leaves no byte; nothing else is changed.
func FuzzEnable(f *testing.F) {
	f.Add("session required x.so\n@include b\n", "session optional pam_mount.so\n")
	const other = "session required pam_unix.so\n"
	f.Add("session required x.so", other)
	f.Add("# here are the per-package modules\nsession required x.so\n# end of pam-auth-update config", other)
	f.Add("session required x.so \\\n#\n\n", other)
	f.Add("session required x.so # \\\n", other)
	f.Add("session required x.so\\ \n y \n z", other)
	f.Add("session include b\\", "session include a")
	f.Fuzz(func(t *testing.T, a, b string) {
		d := Dir{"a": {"/etc/pam.d/a", []byte(a)}, "b": {"/etc/pam.d/b", []byte(b)}}
		if strings.Contains(a+b, "pam_polyinst") || strings.Contains(a+b, "\r") {
			return
		}
		changes, covered, err := d.Enable([]string{"b", "a"}, ours, nil)
		if err != nil {
			return
		}
		now := d.With(changes)
		for _, name := range []string{"a", "b"} {
			if _, ok := now.Opening(name); !ok {
				t.Errorf("%s: no line:\n%q", name, now[name].Data)
			}
			if _, ok := covered[name]; ok && string(now[name].Data) != string(d[name].Data) {
				t.Errorf("%s: covered, and changed", name)
			}
		}
		for _, c := range changes {
			if back := remove(c.New); string(back) != string(c.Old) {
				t.Errorf("%s: %q is put back as %q, by way of %q", c.Name, c.Old, back, c.New)
			}
			if before, after := others(d.Stack(c.Name, "session", ignore)), others(now.Stack(c.Name, "session", ignore)); before != after {
				t.Errorf("%s: the other lines were\n%s\nand are\n%s", c.Name, before, after)
			}
		}
	})
}

func ignore(Pos, string) {}

// others are the lines of a stack that are not ours.
func others(stack []Entry) string {
	var b strings.Builder
	for _, e := range stack {
		if e.Name() != Module {
			fmt.Fprintln(&b, e.Type, e.MayBeMissing, e.Control, e.Module, e.Args)
		}
	}
	return b.String()
}

// A file that a program of the distribution writes is not ours to change, and the
// message names the commands.
func TestLinks(t *testing.T) {
	for _, c := range []struct {
		link Link
		as   Authselect
		want string
	}{
		{Link{"sshd", "/etc/pam.d/sshd", []byte("#%PAM-1.0\n")}, Authselect{}, ""},
		{Link{"system-auth", "/etc/authselect/system-auth", nil}, Authselect{"sssd", []string{"with-mkhomedir", "with-sudo"}},
			"/etc/pam.d/system-auth is written by authselect, and a change would be lost: name services that have a file of their own (polyinst enable sshd su), or put the line into its profile: " +
				"authselect create-profile polyinst -b sssd && echo 'session required pam_polyinst.so' >>/etc/authselect/custom/polyinst/system-auth && authselect select custom/polyinst with-mkhomedir with-sudo"},
		{Link{"postlogin", "/etc/pam.d/postlogin", []byte("# Generated by authselect on Monday\n")}, Authselect{"custom/ours", []string{"x"}},
			"/etc/pam.d/postlogin is written by authselect, and a change would be lost: name services that have a file of their own (polyinst enable sshd su), or put the line into its profile: " +
				"echo 'session required pam_polyinst.so' >>/etc/authselect/custom/ours/postlogin && authselect apply-changes"},
		{Link{"common-session", "/etc/pam.d/common-session-pc", []byte("# This file is autogenerated by pam-config.\n")}, Authselect{},
			"/etc/pam.d/common-session is a link to /etc/pam.d/common-session-pc, which pam-config writes, and a change would be lost: name services that have a file of their own (polyinst enable sshd su), or take it out of pam-config's hands first: cp --remove-destination /etc/pam.d/common-session-pc /etc/pam.d/common-session"},
		{Link{"common-session", "/etc/pam.d/common-session", []byte("# This file is autogenerated by pam-config.\n")}, Authselect{}, ""},
		{Link{"common-session-pc", "/etc/pam.d/common-session-pc", []byte("# This file is autogenerated by pam-config.\n")}, Authselect{},
			"/etc/pam.d/common-session-pc is written by pam-config, and a change would be lost: name services that have a file of their own (polyinst enable sshd su)"},
		{Link{"sshd", "/nix/store/x-sshd.pam", nil}, Authselect{},
			"/etc/pam.d/sshd is a link to /nix/store/x-sshd.pam, which is another program's to write: put `session required pam_polyinst.so` into what that program makes it of"},
	} {
		if got := c.link.Problem("/etc/pam.d/"+c.link.Name, ours, c.as); got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.link, got, c.want)
		}
	}
	if got := fmt.Sprint(ParseAuthselect([]byte("sssd\nwith-a\n\nwith-b\n"))); got != "{sssd [with-a with-b]}" {
		t.Error(got)
	}
}

// What pam_namespace's line becomes may be refused.
func TestInsteadRefuses(t *testing.T) {
	d := Dir{"su": {"/etc/pam.d/su", []byte("session required pam_namespace.so\n")}}
	_, _, err := d.Enable([]string{"su"}, ours, func(File) ([]byte, error) { return nil, errors.New("no") })
	if err == nil || err.Error() != "no" {
		t.Error(err)
	}
}

// What a file includes is named by its path in the other directory.
func TestIn(t *testing.T) {
	d := Dir{"a": {"/etc/pam.d/a", []byte("# /etc/pam.d/b\n@include /etc/pam.d/b\n@include b #\nauth include \\\n /etc/pam.d/c # /etc/pam.d/d\nsession required x.so file=/etc/pam.d/b\n-session substack session")}}
	want := "# /etc/pam.d/b\n@include /run/x/b\n@include /run/x/b\nauth include /run/x/c\nsession required x.so file=/etc/pam.d/b\n-session substack /run/x/session\n"
	if got := d.In("/run/x")["a"]; string(got.Data) != want || got.Path != "/run/x/a" {
		t.Errorf("%s: got\n%s\nwant\n%s", got.Path, got.Data, want)
	}
}
