package pamstack

import (
	"strings"
)

// kerberos remarks on credential caches that are files below a polydir: what
// authentication writes to the public directory, the session does not see.
func (k *checker) kerberos(krb5 []File) {
	if k.Config == nil || len(krb5) == 0 || !k.makesCaches() {
		return
	}
	name, pos := "FILE:/tmp/krb5cc_%{uid}", Pos{File: krb5[0].Path}
	section := ""
	for _, f := range krb5 {
		for i, text := range strings.Split(string(f.Data), "\n") {
			text = strings.TrimSpace(text)
			if strings.HasPrefix(text, "[") {
				section = text
			}
			key, value, ok := strings.Cut(text, "=")
			if ok && section == "[libdefaults]" && strings.TrimSpace(key) == "default_ccache_name" {
				name, pos = strings.TrimSpace(value), Pos{f.Path, i + 1}
			}
		}
	}
	kind, path, ok := strings.Cut(name, ":")
	if !ok {
		kind, path = "FILE", name
	}
	if kind != "FILE" && kind != "DIR" {
		return
	}
	for _, p := range k.Config.Polydirs {
		if strings.HasPrefix(path, string(p.Path)+"/") {
			k.add(pos, Note, "", "Kerberos caches are %s in the public %s, made before the session opens, which then does not find them: default_ccache_name = KEYRING:persistent:%%{uid} or KCM:", name, p.Path)
			return
		}
	}
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
