package pamstack

import (
	"slices"

	"pam_polyinst/internal/core/config"
)

// Compositors are those of desktops on Wayland that end where /tmp has no .X11-unix for
// their Xwayland, and make none that they believe: where they may be installed.
var Compositors = []string{"/usr/bin/gnome-shell", "/usr/bin/kwin_wayland"}

// screens are the services in whose sessions a desktop starts a compositor, by itself or
// by the user manager; the greeter of GDM is one, too.
var screens = []string{"gdm-password", "gdm-autologin", "gdm-fingerprint", "gdm-smartcard", "gdm-launch-environment",
	"sddm", "sddm-autologin", "lightdm", "lightdm-autologin", "systemd-user"}

// compositor judges our line where a compositor starts that needs the .X11-unix that
// systemd-tmpfiles makes in the public /tmp.
func (k *checker) compositor(service string, us Entry) {
	if k.Compositor == "" || !slices.Contains(screens, service) {
		return
	}
	const needed = ".X11-unix"
	greeter := service == "gdm-launch-environment"
	for _, p := range k.rules(service) {
		if greeter && (Unit{User: "gdm"}.exempt(p) || Unit{User: "Debian-gdm"}.exempt(p)) {
			continue
		}
		if p.Path == "/tmp" && p.MakesDirectory() && p.Method != config.MethodOverlay && !slices.ContainsFunc(p.Keep, func(name string) bool { return config.Matches(name, needed) }) {
			k.add(us.Pos, Warning, service, "service %q: %s ends where /tmp has no %s, and a desktop on Wayland does not begin: add %q to the keep of polydir %q", service, k.Compositor, needed, needed, p.Path)
		}
	}
}
