// What the host's own SIMD unit can do, so that a model is refused whose instructions it lacks.
// Source: SDM Vol. 2A, CPUID; Vol. 1, "Detection of AVX Instructions".

extension CPUFeatures {
    /// Features whose instructions run on the host's own unit.
    static let needHost: CPUFeatures = [
        .sse, .sse2, .sse3, .ssse3, .sse41, .sse42, .aes, .pclmulqdq, .avx, .avx2, .fma, .f16c, .bmi2,
    ]

    /// The features of `needHost` that the host has and its kernel lets programs use, and all others.
    public static let host: CPUFeatures = {
        var all = CPUFeatures(rawValue: .max).subtracting(needHost)
        guard HostVector.isAvailable, let one = hostLeaf(1), let maximum = hostLeaf(0)?.eax else { return all }
        let seven = maximum >= 7 ? hostLeaf(7) : nil
        var found = features(edx1: one.edx, ecx1: one.ecx, ebx7: seven?.ebx ?? 0)
        // OSXSAVE, and XCR0 with SSE and AVX state.
        if one.ecx & (1 << 27) == 0 || hostXCR0() & 6 != 6 { found.subtract([.avx, .avx2, .fma, .f16c]) }
        all.formUnion(found.intersection(needHost))
        return all
    }()

    private struct Leaf {
        var eax: UInt32 = 0, ebx: UInt32 = 0, ecx: UInt32 = 0, edx: UInt32 = 0
    }

    private static func hostLeaf(_ number: UInt32) -> Leaf? {
        // PUSH RBX; MOV EAX, ESI; XOR ECX, ECX; CPUID; MOV [RDI], EAX; MOV [RDI+4], EBX; MOV [RDI+8], ECX; MOV [RDI+12], EDX; POP RBX; RET
        let code: [UInt8] = [
            0x53, 0x89, 0xF0, 0x31, 0xC9, 0x0F, 0xA2, 0x89, 0x07, 0x89, 0x5F, 4, 0x89, 0x4F, 8, 0x89, 0x57, 12, 0x5B, 0xC3,
        ]
        typealias Identify = @convention(c) (UnsafeMutableRawPointer, UInt64) -> Void
        guard let entry = UnsafeRawPointer(bitPattern: HostVector.fixed(code, 1)) else { return nil }
        var leaf = Leaf()
        withUnsafeMutableBytes(of: &leaf) { unsafeBitCast(entry, to: Identify.self)($0.baseAddress.unsafelyUnwrapped, UInt64(number)) }
        return leaf
    }

    private static func hostXCR0() -> UInt64 {
        // XOR ECX, ECX; XGETBV; SHL RDX, 32; OR RAX, RDX; RET
        guard let entry = UnsafeRawPointer(bitPattern: HostVector.fixed([0x31, 0xC9, 0x0F, 0x01, 0xD0, 0x48, 0xC1, 0xE2, 32, 0x48, 0x09, 0xD0, 0xC3], 2))
        else { return 0 }
        typealias Read = @convention(c) () -> UInt64
        return unsafeBitCast(entry, to: Read.self)()
    }
}

extension CPUModel {
    /// Instruction sets of the model that this host cannot execute, by their usual names; empty: the model runs here.
    public var missingOnHost: [String] {
        let missing = features.intersection(.needHost).subtracting(.host)
        let names: [(CPUFeatures, String)] = [
            (.sse, "SSE"), (.sse2, "SSE2"), (.sse3, "SSE3"), (.ssse3, "SSSE3"), (.sse41, "SSE4.1"), (.sse42, "SSE4.2"), (.aes, "AES"),
            (.pclmulqdq, "PCLMULQDQ"), (.avx, "AVX"), (.avx2, "AVX2"), (.fma, "FMA"), (.f16c, "F16C"), (.bmi2, "BMI2"),
        ]
        return names.filter { missing.contains($0.0) }.map(\.1)
    }
}
