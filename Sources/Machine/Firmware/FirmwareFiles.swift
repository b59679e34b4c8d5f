import Foundation

/// SeaBIOS and its VGA BIOS, as distributions install them.
public enum FirmwareFiles {
    public static let biosName = "bios-256k.bin"
    public static let vgaName = "vgabios-stdvga.bin"

    /// Where to look, in this order: `$VITRINE_FIRMWARE`, Debian's and Fedora's package `seabios`, QEMU's own copies.
    public static func folders(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> [String] {
        let own = environment["VITRINE_FIRMWARE"].map { [$0] } ?? []
        return own.filter { !$0.isEmpty } + ["/usr/share/seabios", "/usr/share/qemu", "/usr/share/seavgabios", "/usr/local/share/qemu"]
    }

    /// - Throws: `.badInput` with the package to install.
    public static func load(_ name: String, folders: [String] = folders()) throws(MachineError) -> [UInt8] {
        for folder in folders {
            let path = folder + "/" + name
            if access(path, F_OK) == 0 { return try WholeFile.read(path, what: "firmware", limit: 1 << 20) }
        }
        throw .badInput(
            "The firmware file \(name) was not found in \(folders.joined(separator: ", ")); install the Debian package 'seabios', "
                + "or name its folder in the environment variable VITRINE_FIRMWARE.")
    }

    /// An image given with `--bios`.
    /// - Throws: `.badInput` when it cannot be read or has a size that no board takes.
    public static func custom(_ path: String) throws(MachineError) -> [UInt8] {
        let bytes = try WholeFile.read(path, what: "BIOS image", limit: 1 << 20)
        guard [64 << 10, 128 << 10, 256 << 10].contains(bytes.count) else {
            throw .badInput("The BIOS image '\(path)' has \(bytes.count) bytes; it must have 64, 128 or 256 KiB.")
        }
        return bytes
    }
}
