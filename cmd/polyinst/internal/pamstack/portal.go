package pamstack

import "pam_polyinst/internal/core/config"

// Portal are the places where xdg-document-portal may be installed.
var Portal = []string{"/usr/libexec/xdg-document-portal", "/usr/lib/xdg-document-portal"}

// manager judges our line in the stack of user managers. What a manager's
// xdg-document-portal mounts is in the manager's view then, and in no session's unless
// they share one.
func (k *checker) manager() {
	const service = "systemd-user"
	line, _, ok := k.Stacks.SessionLine(service)
	if ok && k.Portal && k.Config != nil && k.Config.Namespace.Scope != config.ScopeUser && len(k.rules(service)) > 0 {
		k.add(line.Pos, Warning, service, "service %q: xdg-document-portal, which user managers start, mounts its filesystem in the manager's own view, and flatpak then starts no program in other sessions: say scope = \"user\" in [namespace]", service)
	}
}
