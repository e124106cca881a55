# NixOS module: private directories for each login session, by pam_polyinst.
#
#   imports = [ ./dist/nixos ];
#   security.polyinst = {
#     enable = true;
#     services = [ "sshd" "login" "su" ];
#     configuration = ''
#       [[polydir]]
#       path            = "/tmp"
#       instance_prefix = "/var/lib/polyinst/tmp/"
#       method          = "user"
#       except          = ["root"]
#     '';
#   };
#
# Undo: enable = false; the instances below /var/lib/polyinst are users' files, and
# stay.
{ config, lib, pkgs, ... }:

let
  cfg = config.security.polyinst;

  # A configuration with a problem does not become a system.
  checked = pkgs.runCommand "namespace.conf" { text = cfg.configuration; passAsFile = [ "text" ]; } ''
    ${cfg.package}/bin/polyinst check --config-only --strict "$textPath"
    cp "$textPath" "$out"
  '';
in
{
  options.security.polyinst = {
    enable = lib.mkEnableOption "private directories for each login session";

    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ./package.nix { buildGoModule = pkgs.buildGo126Module; };
      defaultText = lib.literalExpression "pkgs.callPackage ./package.nix { }";
      description = "The package with the module and the command.";
    };

    services = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [ "sshd" "login" "su" ];
      description = "The PAM services whose sessions get private directories.";
    };

    arguments = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [ "rescue=root,@wheel" ];
      description = "Arguments of the PAM line.";
    };

    configuration = lib.mkOption {
      type = lib.types.lines;
      default = "";
      description = ''
        The text of /etc/security/polyinst/namespace.conf. It is checked when the
        system is built. An `init` script cannot lie in the store.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.services != [ ];
        message = "security.polyinst: no service is named, so nobody gets a private directory";
      }
      {
        assertion = cfg.configuration != "";
        message = "security.polyinst: there is no configuration, and sessions would be refused";
      }
    ];

    environment.systemPackages = [ cfg.package ];

    # With a mode, the file is copied. A link into the store would be refused,
    # because members of nixbld can write there.
    environment.etc."security/polyinst/namespace.conf" = {
      source = checked;
      mode = "0644";
    };

    # Behind all rules of NixOS: what they mount and start, the session finds.
    security.pam.services = lib.genAttrs cfg.services (_: {
      rules.session.polyinst = {
        order = 1000000;
        control = "required";
        modulePath = "${cfg.package}/lib/security/pam_polyinst.so";
        args = cfg.arguments;
      };
    });

    systemd.packages = [ cfg.package ];
    systemd.tmpfiles.packages = [ cfg.package ];
    systemd.sockets.polyinst = {
      wantedBy = [ "sockets.target" ];
      overrideStrategy = "asDropin";
    };
    systemd.services.polyinst = {
      path = [ pkgs.getent ];
      overrideStrategy = "asDropin";
    };
    systemd.services.polyinst-prepare = {
      wantedBy = [ "multi-user.target" ];
      path = [ pkgs.getent ];
      restartTriggers = [ checked ]; # new parents, before the next login
      overrideStrategy = "asDropin";
    };
    systemd.services.polyinst-gc = {
      path = [ pkgs.getent ];
      overrideStrategy = "asDropin";
    };
    systemd.services.polyinst-watch = {
      overrideStrategy = "asDropin"; # off, unless its wantedBy is set
    };
    systemd.timers.polyinst-gc = {
      wantedBy = [ "timers.target" ];
      overrideStrategy = "asDropin";
    };
  };
}
