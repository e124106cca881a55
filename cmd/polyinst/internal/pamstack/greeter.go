package pamstack

import (
	"slices"

	"pam_polyinst/internal/core/config"
)

// greeterSocket is where SDDM and its greeter meet, in /tmp: six random characters
// follow the display.
const greeterSocket = "sddm-:0-abcdef"

// greeter judges our line in the stack of SDDM's greeter, a program of the user sddm's.
func (k *checker) greeter(service string, us Entry) {
	if service != "sddm-greeter" {
		return
	}
	of := Unit{User: "sddm"}
	for _, p := range k.rules(service) {
		if p.Path == "/tmp" && !of.exempt(p) &&
			!slices.ContainsFunc(p.Keep, func(name string) bool { return config.Matches(name, greeterSocket) }) {
			k.add(us.Pos, Warning, service, "service %q: SDDM's greeter does not find SDDM, whose socket is in the public /tmp, and nobody can log in there: say except = [\"root\", %q] there", service, of.User)
		}
	}
}
