package install

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// authselect does what dist/authselect/create asks of authselect(8), which Debian
// has not got: it says which profile is in use, and copies one.
const authselect = `#!/bin/sh
[ -z "$BROKEN" ] || exit 1
case $1 in
current) cat /etc/authselect/current ;;
create-profile) [ "$3" = --base-on ] && cp -r /usr/share/authselect/default/"$4" /etc/authselect/custom/"$2" ;;
*) exit 1 ;;
esac
`

// The profile that dist/authselect/create makes: what it adds, and what services
// that include it get with and without the feature.
func TestAuthselect(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		const profile = "/etc/authselect/custom/polyinst/"
		base := "auth     required pam_unix.so\nsession  required pam_limits.so {include if \"with-limits\"}\n" +
			"session  [success=1 default=ignore] pam_succeed_if.so service in crond quiet\nsession  required pam_unix.so"
		for _, file := range []string{"system-auth", "password-auth"} {
			h.WriteFile("/usr/share/authselect/default/sssd/"+file, base) // without a newline at its end
		}
		h.Sh("cd /usr/share/authselect/default/sssd; touch smartcard-auth postlogin README REQUIREMENTS; mkdir -p /etc/authselect/custom")
		h.WriteFile("/etc/authselect/current", "sssd with-limits with-sudo\n")
		h.WriteFile("/usr/local/bin/authselect", authselect, 0o755)
		create := h.Source("dist/authselect/create")

		h.Match("what it says", h.MustRun(create), `(?m)^made /etc/authselect/custom/polyinst; now\n(.*\n)*  authselect select custom/polyinst with-polyinst with-limits with-sudo\n`)
		for _, file := range []string{"system-auth", "password-auth"} {
			text := h.ReadFile(profile + file)
			host.Equal(h, file+": what stood there", strings.HasPrefix(text, base+"\n"), true)
			h.Match(file+": the line", strings.TrimPrefix(text, base), `^\nsession +required +pam_polyinst\.so +\{include if "with-polyinst"\}\n$`)
		}
		host.Equal(h, "what is not used", h.ReadFile(profile+"smartcard-auth")+h.ReadFile(profile+"postlogin"), "")
		h.Match("for authselect list-features", h.ReadFile(profile+"README"), `(?m)^with-polyinst::$`)

		// as authselect writes the stacks, and Fedora's sshd includes them
		rendered := func(feature bool) string {
			h.T.Helper()
			h.Sh("rm -rf /root/pam.d; mkdir /root/pam.d")
			for _, file := range []string{"system-auth", "password-auth"} {
				var lines []string
				for _, line := range strings.Split(h.ReadFile(profile+file), "\n") {
					text, condition, _ := strings.Cut(line, "{include if ")
					if condition == "" || feature && condition == `"with-polyinst"}` {
						lines = append(lines, text)
					}
				}
				h.WriteFile("/root/pam.d/"+file, strings.Join(lines, "\n"))
			}
			h.WriteFile("/root/pam.d/sshd", "session required pam_selinux.so close\nsession required pam_selinux.so open env_params\nsession include password-auth\n")
			h.WriteFile("/root/pam.d/sudo", "session include system-auth\n")
			r := h.Cmd("polyinst", "check", "--strict", "--pam=/root/pam.d")
			return r.Stderr
		}
		host.Equal(h, "with the feature", rendered(true), "")
		h.Match("without it", rendered(false), `no session stack has .session required pam_polyinst\.so.`)

		for what, c := range map[string]struct{ setup, args, want string }{
			"once more":             {"", "", "/etc/authselect/custom/polyinst exists: look at it"},
			"the profile is in use": {"echo custom/polyinst with-sudo >/etc/authselect/current", "", "custom/polyinst is in use already: authselect enable-feature with-polyinst"},
			"no profile is in use":  {"true >/etc/authselect/current", "", "no profile is in use"},
			"it fails":              {"export BROKEN=1", "sssd another", "authselect create-profile failed"},
			"there is none":         {"rm /usr/local/bin/authselect", "", "there is no authselect on this machine"},
		} {
			h.Sh("echo sssd >/etc/authselect/current")
			h.WriteFile("/usr/local/bin/authselect", authselect, 0o755)
			r := h.Cmd("sh", "-c", c.setup+"\n"+create+" "+c.args)
			host.Equal(h, what+": exit status", r.Code, 1)
			h.Match(what, r.Stderr, "^dist/authselect/create: "+c.want)
		}
	})
}
