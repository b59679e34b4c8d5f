/// What executes a row: the word in its `action` column. The raw value is part of a resolved operation, see `executeVector`.
enum VectorAction: UInt8, CaseIterable {
    /// Not resolved yet.
    case none
    // On XMM and YMM registers, by a routine of `HostVector`
    case compute, computeFloat
    case flags, toGeneral, fromGeneral, stringMask, stringIndex, halfStore
    // The same without a routine
    case load, store, storeQuad, storeHigh, merge4, merge8, loadLow, loadHigh, highToLow, lowToHigh
    case and, andn, or, xor
    case loadGeneral, storeGeneral, insert, extract, extractWord, extract128, broadcast128
    case maskLoad4, maskLoad8, maskStore4, maskStore8, byteMaskStore, gather44, gather48, gather84, gather88
    case zeroUpper, zeroAll
    // MMX registers
    case mmx, mmxPairs, mmxShuffle, mmxAlign, mmxInsert, mmxExtract, mmxMask, mmxMaskStore, movntq, movq2dq, movdq2q, mmxToSingle, mmxToDouble, vectorToMMX
    // General registers
    case popcnt, tzcnt, lzcnt, crc32, movbeLoad, movbeStore, movnti, rdrand
    case andNot, blsr, blsmsk, blsi, bzhi, pext, pdep, mulx, bextr, shlx, sarx, shrx, rorx
    // State
    case ldmxcsr, stmxcsr, xgetbv, xsetbv, xsave, xrstor, fence, clflush

    static let names: [String: VectorAction] = {
        var names: [String: VectorAction] = [:]
        for action in allCases { names[String(describing: action)] = action }
        return names
    }()
}

/// A parsed row of `VectorRows`.
struct VectorRow {
    /// Which prefixes select the row: bit n for prefix n of `VectorEncoding`.
    var prefixes: UInt8 = 0
    /// The prefix of the instruction itself.
    var prefix: UInt8 = 0
    var map: UInt8 = 0
    var opcode: UInt8 = 0
    /// Reg field that selects the row, or -1.
    var digit = -1
    /// Whole ModR/M byte that selects the row, or -1.
    var exactModRM = -1
    var memoryOnly = false
    var registerOnly = false
    var mnemonic = ""
    var operands: [Operand] = []
    /// nil: there is no such form.
    var legacy: CPUFeatures?
    var vex128: CPUFeatures?
    var vex256: CPUFeatures?
    /// VEX.L means nothing.
    var ignoresLength = false
    var exceptions: Character = " "
    var action = VectorAction.none
    var neverAligned = false
    /// The VEX.W that the row wants, or -1.
    var wide = -1
    var readsDestination = false
    var reversed = false
    /// Bytes of results that can underflow, 0: none can.
    var underflow = 0
    var fallsBack = false
    /// MXCSR is read and written.
    var isFloat = false
    /// The instruction that the routine runs, when it is another one.
    var alias: (prefix: UInt8, map: UInt8, opcode: UInt8)?

    /// One operand: SDM's letter and size, as in the text.
    struct Operand: Equatable {
        var kind: Character
        var size: Character
    }

    func has(_ kind: Character) -> Bool { operands.contains { $0.kind == kind } }

    /// VEX.vvvv is an operand.
    var usesVVVV: Bool { has("H") || has("B") }
    var hasImmediate: Bool { has("I") || has("L") }
    /// The destination is in vvvv (with VEX) or r/m (without): shifts by an immediate.
    var isShiftGroup: Bool { operands.first?.kind == "H" }

    /// The operand that may lie in memory.
    var memoryOperand: Operand? { operands.first { "WUMEQN".contains($0.kind) } }

    /// Bytes of the operand that may lie in memory.
    func memoryBytes(long: Bool, wide: Bool, operandBytes: Int) -> Int {
        switch memoryOperand?.size {
        case "x": long ? 32 : 16
        case "h": long ? 16 : 8
        case "f": long ? 8 : 4
        case "e": long ? 4 : 2
        case "m": long ? 32 : 8
        case "o": 16
        case "t": 32
        case "q": 8
        case "d": 4
        case "w": 2
        case "b": 1
        case "y": wide ? 8 : 4
        case "v": operandBytes
        default: 0
        }
    }

    /// Legacy operands of 16 bytes are aligned in classes 1, 2 and 4; those of class 1 always.
    func isAligned(vex: Bool, bytes: Int) -> Bool {
        if neverAligned || bytes < 16 { return false }
        if exceptions == "1" { return true }
        return !vex && "24M".contains(exceptions)
    }
}

extension VectorRow {
    /// Parses one line. A word that means nothing stops the program at start: the text is ours.
    init(_ line: String) {
        var words = line.split(separator: " ").map(String.init)
        precondition(words.count >= 8, "a SIMD row has too few columns")
        parseKey(words[0])
        mnemonic = words[1]
        if words[2] != "-" {
            operands = words[2].split(separator: ",").map { Operand(kind: $0.first ?? " ", size: $0.dropFirst().first ?? " ") }
        }
        legacy = VectorRow.features(words[3])
        vex128 = VectorRow.features(words[4])
        if words[5] == "lig" {
            ignoresLength = true
            vex256 = vex128
        } else {
            vex256 = VectorRow.features(words[5])
        }
        exceptions = words[6] == "11" ? "F" : words[6] == "12" ? "G" : words[6] == "13" ? "R" : words[6].first ?? " "
        isFloat = "23F".contains(exceptions)
        guard let named = VectorAction.names[words[7]] else { preconditionFailure("a SIMD row names an unknown action") }
        action = named
        words.removeFirst(8)
        for word in words {
            switch word {
            case "ua": neverAligned = true
            case "w0": wide = 0
            case "w1": wide = 1
            case "rd": readsDestination = true
            case "un2": underflow = 2
            case "un4": underflow = 4
            case "un8": underflow = 8
            case "or": fallsBack = true
            case "fp": isFloat = true
            case "reversed": reversed = true
            default:
                precondition(word.hasPrefix("as="), "a SIMD row has an unknown attribute")
                let parts = word.dropFirst(3).split(separator: ".").map(String.init)
                precondition(parts.count == 3, "a SIMD row names an incomplete instruction")
                alias = (VectorRow.prefixNumber(parts[0]), VectorRow.mapNumber(parts[1]), UInt8(parts[2], radix: 16) ?? 0)
            }
        }
        if action == .compute && isFloat { action = .computeFloat }
    }

    private mutating func parseKey(_ key: String) {
        let parts = key.split(separator: ".").map(String.init)
        precondition(parts.count == 3, "a SIMD row has no key of three parts")
        if parts[0] == "*" {
            prefixes = 3
        } else {
            prefix = VectorRow.prefixNumber(parts[0])
            prefixes = 1 << prefix
        }
        map = VectorRow.mapNumber(parts[1])
        var place = Substring(parts[2])
        if place.hasSuffix("m") {
            memoryOnly = true
            place = place.dropLast()
        } else if place.hasSuffix("r") {
            registerOnly = true
            place = place.dropLast()
        }
        if let slash = place.firstIndex(of: "/") {
            digit = Int(place[place.index(after: slash)...]) ?? 0
            place = place[..<slash]
        } else if let colon = place.firstIndex(of: ":") {
            exactModRM = Int(place[place.index(after: colon)...], radix: 16) ?? 0
            place = place[..<colon]
        }
        guard let value = UInt8(place, radix: 16) else { preconditionFailure("a SIMD row has no opcode") }
        opcode = value
    }

    private static func prefixNumber(_ text: String) -> UInt8 {
        switch text {
        case "NP": 0
        case "66": 1
        case "F3": 2
        case "F2": 3
        default: preconditionFailure("a SIMD row has an unknown prefix")
        }
    }

    private static func mapNumber(_ text: String) -> UInt8 {
        switch text {
        case "0F": 1
        case "38": 2
        case "3A": 3
        default: preconditionFailure("a SIMD row has an unknown map")
        }
    }

    private static let featureNames: [String: CPUFeatures] = [
        "sse": .sse, "sse2": .sse2, "sse3": .sse3, "ssse3": .ssse3, "sse41": .sse41, "sse42": .sse42, "popcnt": .popcnt, "avx": .avx, "avx2": .avx2,
        "fma": .fma, "f16c": .f16c, "aes": .aes, "pclmulqdq": .pclmulqdq, "bmi1": .bmi1, "bmi2": .bmi2, "lzcnt": .lzcnt, "movbe": .movbe,
        "rdrand": .rdrand, "xsave": .xsave, "clfsh": .clfsh,
    ]

    private static func features(_ text: String) -> CPUFeatures? {
        if text == "-" { return nil }
        var all: CPUFeatures = []
        for name in text.split(separator: "+") {
            guard let feature = featureNames[String(name)] else { preconditionFailure("a SIMD row names an unknown feature") }
            all.insert(feature)
        }
        return all
    }
}
