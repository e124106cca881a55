package promise

import (
	"fmt"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
)

// Network opens the network namespace with a name that a user's sessions join. If
// named is false, they join none.
func Network(n config.Namespace, who plan.Subject) (ns mntns.NS, named bool, r *plan.Refusal) {
	name, err := n.NetnsOf(who.Vars())
	if err != nil {
		return ns, false, &plan.Refusal{Fault: plan.FaultUser, Reason: fmt.Sprintf("network = \"netns:%s\": %v", n.Netns, err)}
	}
	if name == "" {
		return ns, false, nil
	}
	ns, err = mntns.NamedNet(name)
	if err != nil {
		if dirfd.IsNotExist(err) {
			err = fmt.Errorf("%s/%s does not exist: `ip netns add %s` makes it", mntns.NetnsDir, name, shellword.Quote(name))
		}
		return ns, false, HostFault(fmt.Errorf("network = \"netns:%s\": %w", n.Netns, err))
	}
	return ns, true, nil
}

// Possible says why no session of the promised kind can be built on this machine;
// nil: it can, as far as its namespaces are concerned.
func (p *Promise) Possible() *plan.Refusal {
	if r := Kernel(); r != nil || len(p.Selection.Rules) == 0 {
		return r
	}
	ns, named, r := Network(p.Config.Namespace, p.Who)
	if named {
		ns.Close()
	}
	return r
}
