package pamstack

// greeter judges our line in the stack of SDDM's greeter, a program of the user
// sddm's. It is to find a socket in the public /tmp, and `keep` shows directories only
// where it is given a pattern.
func (k *checker) greeter(service string, us Entry) {
	if service != "sddm-greeter" {
		return
	}
	of := Unit{User: "sddm"}
	for _, p := range k.rules(service) {
		if p.Path == "/tmp" && !of.exempt(p) {
			k.add(us.Pos, Warning, service, "service %q: SDDM's greeter does not find SDDM, whose socket is in the public /tmp, and nobody can log in there: add %q to the except of polydir %q", service, of.User, p.Path)
		}
	}
}
