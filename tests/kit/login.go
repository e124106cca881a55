package kit

import (
	"testing"

	"pam_polyinst/tests/host"
)

// HostStory is a story with C hosts of our own, in the service "pamhost", and a
// user alice.
func HostStory(t *testing.T, tell func(h *host.Host)) {
	t.Helper()
	Story(t, OwnTmp, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		tell(h)
	})
}

// Steps is a session of alice's with these steps in it.
func Steps(steps ...string) []string {
	return append([]string{"user=alice", "start", "acct"}, steps...)
}

// KDC starts a realm in which the user's password is "secret". The lines of libdefaults
// count for everything on this host.
func KDC(h *host.Host, user, libdefaults string) {
	h.T.Helper()
	h.WriteFile("/etc/krb5.conf", `[libdefaults]
default_realm = EXAMPLE.ORG
dns_lookup_kdc = false
rdns = false
`+libdefaults+`
[realms]
EXAMPLE.ORG = {
	kdc = 127.0.0.1:1088
}
`)
	h.WriteFile("/etc/krb5kdc/kdc.conf", `[kdcdefaults]
kdc_ports = 1088
kdc_tcp_ports = 1088
[realms]
EXAMPLE.ORG = {
	database_name = /var/lib/krb5kdc/principal
	key_stash_file = /var/lib/krb5kdc/stash
	supported_enctypes = aes256-cts-hmac-sha1-96:normal
}
`)
	h.Sh(`mkdir -p /var/lib/krb5kdc
kdb5_util create -s -P master
kadmin.local -q 'addprinc -pw secret ` + user + `'
krb5kdc -P /run/kdc.pid`)
}
