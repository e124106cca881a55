# What dist/nixos makes of a configuration: with the library of nixpkgs where that
# is at hand, else with stubs of the few functions that are used.
{ settings ? { }, nixpkgsLib ? null }:

let
  stubs = {
    mkEnableOption = _: { default = false; };
    mkOption = o: o;
    mkIf = condition: value: if condition then value else { };
    literalExpression = text: text;
    genAttrs = names: f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) names);
    cleanSource = path: path;
    strings.trim = builtins.replaceStrings [ "\n" ] [ "" ];
    types = { package = "package"; str = "str"; lines = "lines"; listOf = t: "list of ${t}"; };
    licenses.mit = "mit";
    platforms.linux = [ "linux" ];
  };
  lib = if nixpkgsLib == null then stubs else import nixpkgsLib;
  pkgs = {
    buildGo126Module = attributes: attributes // { outPath = "/nix/store/0-pam_polyinst"; };
    callPackage = file: arguments: import file ({ inherit lib; pam = "pam"; gnumake = "make"; } // arguments);
    runCommand = name: attributes: script: { outPath = "/nix/store/1-${name}"; inherit attributes script; };
    getent = "getent";
  };
  module = import ../../../../dist/nixos;

  # Without the module system: the values, or the defaults of the options.
  plain = let
    options = (module { config = { }; inherit lib pkgs; }).options.security.polyinst;
    values = builtins.mapAttrs (name: option: settings.${name} or option.default) options;
  in (module { config.security.polyinst = values; inherit lib pkgs; }).config;

  # With it: every option of NixOS that the module sets takes anything.
  real = (lib.evalModules {
    modules = [
      module
      {
        config = { _module.args = { inherit pkgs; }; security.polyinst = settings // { package = { type = "derivation"; name = "pam_polyinst"; outPath = "/nix/store/0-pam_polyinst"; }; }; };
        options = lib.genAttrs [ "assertions" "environment" "systemd" ] (_: lib.mkOption { type = lib.types.anything; default = { }; }) // {
          security.pam.services = lib.mkOption { type = lib.types.anything; default = { }; };
        };
      }
    ];
  }).config;

  result = if nixpkgsLib == null then plain else real;
in
{
  package = removeAttrs (pkgs.callPackage ../../../../dist/nixos/package.nix { buildGoModule = a: a; }) [ "src" "meta" "nativeBuildInputs" "buildInputs" ];
  config = {
    assertions = result.assertions or [ ];
    etc = result.environment.etc or { };
    pam = result.security.pam.services or { };
    systemd = result.systemd or { };
  };
}
