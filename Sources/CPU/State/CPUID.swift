import Primitives

/// What a guest may know about its processor: CPUID, the bits of CR4, the frequency of the time-stamp counter.
///
/// Source: SDM Vol. 2, CPUID; Intel application note 485, "Intel Processor Identification and the CPUID Instruction"; AMD64 Architecture
/// Programmer's Manual Vol. 3, appendix E (leaves 0x8000_0005 and up).
public struct CPUModel: Equatable, Sendable {
    public var name: String
    /// Twelve characters.
    public var vendor: String
    /// Leaf 1 EAX: stepping, model, family.
    public var signature: UInt32
    public var features: CPUFeatures
    public var maximumLeaf: UInt32
    /// Leaf 2: cache and TLB descriptors, EAX EBX ECX EDX.
    public var caches: [UInt32]
    /// Leaves 0x80000002–4, at most 47 characters.
    public var brand: String
    /// Ticks of the time-stamp counter per second of guest time.
    public var tscHertz: UInt64
    /// Width of physical addresses: reserved bits of page-table entries and MTRR masks.
    public var physicalBits: UInt64

    /// The model of a machine that does not ask for another: a Pentium Pro with the additions of the Pentium II (MMX, SYSENTER, PAT).
    /// The signature is that of a Pentium II ("Deschutes"): the Pentium Pro's own tells kernels that SYSENTER is broken.
    /// FXSR is left off, as on the Pentium Pro; operating systems then use FNSAVE.
    public static let pentiumPro = CPUModel(
        name: "pentiumpro", vendor: "GenuineIntel", signature: 0x652, features: .p6, maximumLeaf: 2,
        // 4 KiB and 4 MiB TLBs, 16 KiB + 16 KiB first-level and 512 KiB second-level caches.
        caches: [0x0302_0101, 0, 0, 0x0C04_0843],
        brand: "Vitrine P6 class processor", tscHertz: 1_000_000_000, physicalBits: 36)

    /// An 80486DX4: CPUID, no time-stamp counter.
    public static let i486 = with(name: "486", signature: 0x480, features: .i486, maximumLeaf: 1, brand: "")
    /// P54C: CMPXCHG8B, time-stamp counter, 4 MiB pages.
    public static let pentium = with(name: "pentium", signature: 0x52C, features: .pentium, maximumLeaf: 1, brand: "")
    /// "Coppermine": SSE, FXSAVE.
    public static let pentium3 = with(name: "pentium3", signature: 0x686, features: .pentium3, maximumLeaf: 2, brand: "")
    /// The levels of the System V ABI; the family is that of Intel's 64-bit processors.
    public static let level1 = with(
        name: "x86-64-v1", signature: 0x6F6, features: .level1, maximumLeaf: 7, brand: "Vitrine x86-64-v1 processor", physicalBits: 40)
    public static let level2 = with(
        name: "x86-64-v2", signature: 0x106A5, features: .level2, maximumLeaf: 7, brand: "Vitrine x86-64-v2 processor", physicalBits: 40)
    public static let level3 = with(
        name: "x86-64-v3", signature: 0x306C3, features: .level3, maximumLeaf: 13, brand: "Vitrine x86-64-v3 processor", physicalBits: 40)

    private static func with(
        name: String, signature: UInt32, features: CPUFeatures, maximumLeaf: UInt32, brand: String, physicalBits: UInt64 = 36
    ) -> CPUModel {
        var model = pentiumPro
        (model.name, model.signature, model.features, model.maximumLeaf) = (name, signature, features, maximumLeaf)
        (model.brand, model.physicalBits) = (brand, physicalBits)
        return model
    }

    /// Models that can be asked for by name, from the oldest.
    public static let all: [CPUModel] = [.i486, .pentium, .pentiumPro, .pentium3, .level1, .level2, .level3]

    public static func named(_ name: String) -> CPUModel? { all.first { $0.name == name } }

    public func has(_ feature: CPUFeatures) -> Bool { features.contains(feature) }

    /// Leaf 1 EDX, as inventories show it.
    public var basicFeatures: UInt32 { features.word(.edx1) }

    /// Bits of CR4 that exist.
    public var cr4Mask: UInt32 {
        var mask: UInt32 = 0
        for (feature, bits) in [
            (CPUFeatures.tsc, CR4.tsd), (.vme, CR4.vme | CR4.pvi), (.de, CR4.de), (.pse, CR4.pse), (.pae, CR4.pae), (.mce, CR4.mce),
            (.pge, CR4.pge), (.mmx, CR4.pce), (.fxsr, CR4.osfxsr), (.sse, CR4.osxmmexcpt), (.xsave, CR4.osxsave),
        ] where has(feature) { mask |= bits }
        return mask
    }

    /// Bits of IA32_EFER that exist; 0: the register does not.
    public var eferMask: UInt64 {
        (has(.syscall) ? EFER.sce : 0) | (has(.nx) ? EFER.nxe : 0) | (has(.lm) ? EFER.lme | EFER.lma : 0)
    }

    /// Bits of XCR0 that exist: x87, SSE, AVX.
    public var xcr0Mask: UInt64 { has(.xsave) ? 3 | (has(.avx) ? 4 : 0) : 0 }

    /// Address bits of page-table entries.
    var frameMask: UInt64 { ((1 << physicalBits) - 1) & ~0xFFF }

    /// Guest time in ticks of the time-stamp counter.
    func ticks(_ time: Nanoseconds) -> UInt64 {
        if tscHertz == 1_000_000_000 { return time }
        let product = time.multipliedFullWidth(by: tscHertz)
        // Beyond 2^64 ticks the counter wraps; the remainder keeps the division in range.
        return UInt64(1_000_000_000).dividingFullWidth((product.high % 1_000_000_000, product.low)).quotient
    }

    /// EAX EBX ECX EDX of a leaf. Leaves beyond the maximum give the highest basic one, as Intel's processors do.
    func cpuid(_ leaf: UInt32, _ subleaf: UInt32, _ c: CPUIDContext) -> (UInt32, UInt32, UInt32, UInt32) {
        switch leaf {
        case 0:
            let v = CPUModel.words(vendor, 3)
            return (maximumLeaf, v[0], v[2], v[1])
        case 1:
            var edx = features.word(.edx1)
            if !c.apicEnabled { edx &= ~(1 << 9) }
            let ecx = features.word(.ecx1) | (c.osxsave ? 1 << 27 : 0)
            return (signature, c.apicID << 24 | (has(.clfsh) ? 8 << 8 : 0), ecx, edx)
        case 2 where maximumLeaf >= 2: return (caches[0], caches[1], caches[2], caches[3])
        case 4 where maximumLeaf >= 4: return cacheLeaf(subleaf)
        case 7 where maximumLeaf >= 7: return subleaf == 0 ? (0, features.word(.ebx7), 0, features.word(.edx7)) : (0, 0, 0, 0)
        case 13 where maximumLeaf >= 13: return extendedState(subleaf, c)
        case 3...13 where leaf <= maximumLeaf: return (0, 0, 0, 0)
        case 0x8000_0000: return (has(.lm) ? 0x8000_0008 : 0x8000_0004, 0, 0, 0)
        case 0x8000_0001:
            var edx = features.word(.edxExtended)
            // SYSCALL is shown in 64-bit mode only, as on Intel's processors.
            if !c.is64 { edx &= ~(1 << 11) }
            return (0, 0, features.word(.ecxExtended), edx)
        case 0x8000_0002...0x8000_0004:
            let w = CPUModel.words(brand, 12)
            let at = Int(leaf - 0x8000_0002) * 4
            return (w[at], w[at + 1], w[at + 2], w[at + 3])
        // 256 KiB second-level cache, 64-byte lines, 8 ways.
        case 0x8000_0006 where has(.lm): return (0, 0, 256 << 16 | 6 << 12 | 64, 0)
        // Invariant TSC: guest time is its only source.
        case 0x8000_0007 where has(.lm): return (0, 0, 0, 1 << 8)
        case 0x8000_0008 where has(.lm): return (UInt32(truncatingIfNeeded: physicalBits) | 48 << 8, 0, 0, 0)
        case 0x8000_0005...0x8000_0008 where has(.lm): return (0, 0, 0, 0)
        default:
            // Hypervisor leaves and what lies beyond the maximum.
            return maximumLeaf >= 2 && maximumLeaf < 4 ? (caches[0], caches[1], caches[2], caches[3]) : (0, 0, 0, 0)
        }
    }

    /// Deterministic cache parameters: 32 KiB data, 32 KiB code, 256 KiB unified. Every vCPU is a package of one core.
    private func cacheLeaf(_ subleaf: UInt32) -> (UInt32, UInt32, UInt32, UInt32) {
        // 8 ways, 64-byte lines; sets - 1 in ECX.
        let shape: UInt32 = 7 << 22 | 63
        switch subleaf {
        case 0: return (1 << 5 | 1 << 8 | 1, shape, 63, 0)
        case 1: return (1 << 5 | 1 << 8 | 2, shape, 63, 0)
        case 2: return (2 << 5 | 1 << 8 | 3, shape, 511, 0)
        default: return (0, 0, 0, 0)
        }
    }

    /// Leaf 13: the layout of the XSAVE area. Standard form; no XSAVEOPT, XSAVEC, XSAVES.
    private func extendedState(_ subleaf: UInt32, _ c: CPUIDContext) -> (UInt32, UInt32, UInt32, UInt32) {
        switch subleaf {
        case 0:
            let size: (UInt64) -> UInt32 = { $0 & 4 != 0 ? 832 : 576 }
            return (UInt32(truncatingIfNeeded: xcr0Mask), size(c.xcr0), size(xcr0Mask), 0)
        case 2 where has(.avx): return (256, 576, 0, 0)
        default: return (0, 0, 0, 0)
        }
    }

    /// Text as little-endian doublewords, padded with NUL.
    private static func words(_ text: String, _ count: Int) -> [UInt32] {
        var words = [UInt32](repeating: 0, count: count)
        for (n, byte) in text.utf8.prefix(count * 4).enumerated() { words[n / 4] |= UInt32(byte) << UInt32(n % 4 * 8) }
        return words
    }
}

/// What CPUID answers with besides the model.
struct CPUIDContext {
    var apicID: UInt32 = 0
    var apicEnabled = true
    var osxsave = false
    var is64 = false
    var xcr0: UInt64 = 1
}

/// CPUID.
func cpuid(_ c: Core, _ o: OpPointer) throws(Fault) {
    let processor = c.t.pointee.processor
    // The feature bit follows IA32_APIC_BASE.EN.
    let base = processor.bus.readMSR(0x1B)
    let r = processor.model.cpuid(
        c.eax, c.ecx,
        CPUIDContext(
            apicID: UInt32(processor.apicID), apicEnabled: (base ?? 0) & 0x800 != 0, osxsave: c.cr4 & CR4.osxsave != 0, is64: c.is64, xcr0: c.v.pointee.xcr0))
    c.eax = r.0
    c.ebx = r.1
    c.ecx = r.2
    c.edx = r.3
}
