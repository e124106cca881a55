package main

import (
	"slices"
	"strings"
	"testing"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/observe"
)

// What the policy denies a login program: a service is judged by its own domain, and a
// parent by itself before its locks.
func TestCheckDomains(t *testing.T) {
	main, dropin := observe.ConfigDir+"/namespace.conf", observe.ConfigDir+"/namespace.d/tmp.conf"
	c, problems := config.Parse(config.Source{Name: main, Data: []byte("[namespace]\npolydirs = \"none\"\n")}, []config.Source{{Name: dropin,
		Data: []byte("[[polydir]]\npath = \"/tmp\"\ninstance_prefix = \"/var/lib/polyinst/tmp/\"\nmethod = \"user\"\n[[polydir]]\npath = \"/var/tmp\"\ninstance_prefix = \"/var/lib/polyinst/tmp/v.\"\nmethod = \"user\"\n")}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	stack := func(conf string) pamstack.Dir {
		line := []byte("session required /lib/security/pam_polyinst.so " + conf + "\n")
		return pamstack.Dir{"sshd": {Path: "/etc/pam.d/sshd", Data: line}, "su": {Path: "/etc/pam.d/su", Data: line}}
	}
	const parent, locks = "/var/lib/polyinst/tmp", "/var/lib/polyinst/tmp/.lock"
	for _, c2 := range []struct {
		what, main, conf string
		wrong            []string
		want             []string // FILE: what the way out begins with
	}{
		{"nothing is denied", main, "", nil, nil},
		{"a parent, of which the locks are not said", main, "", []string{parent, locks}, []string{parent + ": it wants the type tmp_t"}},
		{"the locks", main, "", []string{locks}, []string{locks + ": chcon -R --reference=" + parent + " " + locks}},
		{"a drop-in", main, "", []string{dropin}, []string{dropin + ": restorecon -F " + dropin}},
		{"the module", main, "", []string{"/lib/security/pam_polyinst.so"}, []string{"/lib/security/pam_polyinst.so: restorecon -F /lib/security/pam_polyinst.so"}},
		{"a draft, which no session reads", "/root/draft.conf", "", []string{"/root/draft.conf"}, nil},
		{"a main file of the line's", "/srv/x.conf", "conf=/srv/x.conf", []string{"/srv/x.conf"}, []string{"/srv/x.conf: restorecon -F /srv/x.conf"}},
	} {
		var got []string
		for _, r := range checkDomains(c, c2.main, stack(c2.conf), func(domains []string, path, class string, permissions ...string) (string, string) {
			if domains[0] != "sshd_t" || class == "dir" != strings.HasPrefix(path, parent) {
				t.Errorf("%s: asks whether %s may %s %s of %s", c2.what, domains, permissions, class, path)
			}
			if slices.Contains(c2.wrong, path) {
				return "a:b:c", domains[0]
			}
			return "a:b:c", ""
		}) {
			if r.service != "sshd" || r.Level != pamstack.Error {
				t.Errorf("%s: %+v", c2.what, r)
			}
			_, way, _ := strings.Cut(r.Message, "\"a:b:c\": ")
			got = append(got, r.File+": "+way)
		}
		if !slices.EqualFunc(got, c2.want, strings.HasPrefix) {
			t.Errorf("%s:\n%q\nwant\n%q", c2.what, got, c2.want)
		}
	}
}
