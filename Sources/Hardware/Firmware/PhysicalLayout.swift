import Primitives

/// Where RAM lies in guest-physical space: below the PCI hole and from 4 GiB on.
public enum PhysicalLayout {
    /// Start of the hole for PCI and firmware, as on QEMU's i440FX machine.
    public static let holeStart: Physical = 0xE000_0000
    public static let fourGiB: Physical = 1 << 32

    public static func lowRAMBytes(_ ramMiB: Int) -> Int { min(ramMiB << 20, Int(holeStart)) }
    public static func highRAMBytes(_ ramMiB: Int) -> Int { max((ramMiB << 20) - Int(holeStart), 0) }
}
