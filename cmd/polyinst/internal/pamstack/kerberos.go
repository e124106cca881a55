package pamstack

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// kerberos remarks on credential caches that are files below a polydir: what
// authentication writes to the public directory, the session does not see.
func (k *checker) kerberos(krb5 []File) {
	if k.Config == nil || len(krb5) == 0 || krb5[0].Path != "/etc/krb5.conf" { // without it, nothing includes the others
		return
	}
	for _, service := range Services(k.Stacks) {
		k.pamKrb5(service, krb5)
	}
	name, pos, ok := krb5Value(krb5, "[libdefaults]", "default_ccache_name")
	if !ok {
		name, pos = "FILE:/tmp/krb5cc_%{uid}", Pos{File: krb5[0].Path}
	}
	if polydir := k.covers(name); polydir != "" && k.makesCaches() {
		k.add(pos, Note, "", "Kerberos caches are %s in the public %s, made before the session opens, which then does not find them: default_ccache_name = KEYRING:persistent:%%{uid} or KCM:", name, polydir)
	}
}

// pamKrb5 remarks on libpam-krb5, which Debian has: it goes by arguments of its own.
func (k *checker) pamKrb5(service string, krb5 []File) {
	for _, e := range k.Stacks.Stack(service, "auth", func(Pos, string) {}) {
		if e.Name() != "pam_krb5.so" {
			continue
		}
		set := func(key string) string {
			for _, a := range e.Args {
				if name, value, ok := strings.Cut(a, "="); ok && name == key {
					return value
				}
			}
			value, _, _ := krb5Value(krb5, "[appdefaults]", key)
			return value
		}
		name := set("ccache")
		if dir := set("ccache_dir"); name == "" && dir != "" {
			name = "FILE:" + strings.TrimPrefix(dir, "FILE:") + "/krb5cc_%u_XXXXXX"
		}
		if name == "" {
			name = "FILE:/tmp/krb5cc_%u_XXXXXX"
		}
		if polydir := k.covers(name); polydir != "" {
			k.add(e.Pos, Note, "", "Debian's pam_krb5.so does not go by default_ccache_name: it writes tickets to %s in the public %s before the session opens, which then does not find them: ccache=KEYRING:persistent:%%u on its auth and session lines", name, polydir)
		}
	}
}

// covers is the polydir in which a cache would be a file; empty: it is none there.
func (k *checker) covers(name string) string {
	kind, path, ok := strings.Cut(name, ":")
	if !ok {
		kind, path = "FILE", name
	}
	if kind != "FILE" && kind != "DIR" {
		return ""
	}
	for _, p := range k.Config.Polydirs {
		if strings.HasPrefix(path, string(p.Path)+"/") {
			return string(p.Path)
		}
	}
	return ""
}

// krb5Value is what a key has in a section of krb5.conf(5), at any depth of it, and
// where. The first value that libkrb5 meets counts, from the first of the files on,
// which includes others of them.
func krb5Value(files []File, section, key string) (value string, pos Pos, found bool) {
	return krb5ValueIn(files, files[0], section, key, nil)
}

func krb5ValueIn(files []File, f File, section, key string, way []string) (value string, pos Pos, found bool) {
	if slices.Contains(way, f.Path) {
		return "", Pos{}, false
	}
	in := "" // a file that is included begins in no section
	for i, text := range strings.Split(string(f.Data), "\n") {
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "[") {
			in = text
		}
		if k, v, ok := strings.Cut(text, "="); ok && in == section && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v), Pos{f.Path, i + 1}, true
		}
		for _, other := range krb5Included(files, text) {
			if value, pos, found := krb5ValueIn(files, other, section, key, append(way, f.Path)); found {
				return value, pos, true
			}
		}
	}
	return "", Pos{}, false
}

// krb5Name is what the name of a file is like that an includedir takes.
var krb5Name = regexp.MustCompile(`^[A-Za-z0-9_-]+$|^[^.].*\.conf$`)

// krb5Included are those of the files that a line includes.
func krb5Included(files []File, line string) (out []File) {
	words := strings.Fields(line)
	if len(words) != 2 {
		return nil
	}
	word, name := words[0], path.Clean(words[1])
	for _, f := range files {
		dir, base := path.Split(f.Path)
		if word == "include" && f.Path == name || word == "includedir" && path.Clean(dir) == name && krb5Name.MatchString(base) {
			out = append(out, f)
		}
	}
	return out
}

// makesCaches reports whether a stack with our line may write a cache.
func (k *checker) makesCaches() bool {
	for _, service := range Services(k.Stacks) {
		for _, e := range k.Stacks.Stack(service, "auth", func(Pos, string) {}) {
			if e.Name() == "pam_krb5.so" || e.Name() == "pam_sss.so" || e.Name() == "pam_winbind.so" {
				return true
			}
		}
		if service == "sshd" {
			return true // GSSAPI
		}
	}
	return false
}
