import CZydis

/// One instruction as Zydis decodes it.
struct DecodedInstruction {
    enum Flow { case plain, call, jump, conditional, ret, interrupt, system }

    struct Memory {
        /// Register numbers of the encoding; nil: none. `segment` ES CS SS DS FS GS.
        var segment: Int
        var base: Int?, index: Int?
        var scale: UInt64
        var displacement: UInt64
        /// The base is the address of the next instruction.
        var isRelative: Bool
        /// Of the access; 0: there is none (LEA, NOP).
        var bytes: Int
        var addressBits: Int
    }

    var length: Int
    var text: String
    var flow: Flow
    /// Repeated string instruction.
    var isRepeated = false
    /// LOOP, LOOPE, LOOPNE.
    var isLoop = false
    /// Offset in CS where a direct branch leads.
    var target: UInt64?
    var memory: Memory?
    /// UD0, UD1, UD2: it is there to raise #UD.
    var isUndefined = false
    /// The condition of a Jcc, as the low four bits of its opcode.
    var condition: UInt8?

    /// What a debugger steps over in one go.
    var isSteppedOver: Bool { flow == .call || flow == .interrupt || isRepeated || isLoop }
}

/// Zydis, one for each width of code.
final class Disassembler {
    static let longest = 15

    let bits: Int
    private let decoder: UnsafeMutablePointer<ZydisDecoder>
    private let formatter: UnsafeMutablePointer<ZydisFormatter>

    /// - Parameter bits: 16, 32 or 64.
    init(bits: Int) {
        self.bits = bits
        decoder = .allocate(capacity: 1)
        formatter = .allocate(capacity: 1)
        let (mode, width) =
            switch bits {
            case 16: (ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16)
            case 32: (ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32)
            default: (ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)
            }
        ZydisDecoderInit(decoder, mode, width)
        ZydisFormatterInit(formatter, ZYDIS_FORMATTER_STYLE_INTEL)
        for (property, value) in [
            (ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, 0), (ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE, 0), (ZYDIS_FORMATTER_PROP_ADDR_PADDING_RELATIVE, 0),
            (ZYDIS_FORMATTER_PROP_DISP_PADDING, 0), (ZYDIS_FORMATTER_PROP_IMM_PADDING, 0), (ZYDIS_FORMATTER_PROP_FORCE_SIZE, 1),
        ] { ZydisFormatterSetProperty(formatter, property, UInt(value)) }
    }

    deinit {
        decoder.deallocate()
        formatter.deallocate()
    }

    /// The instruction that begins at `bytes[at]`; nil: there is none, or its end is missing.
    /// - Parameter offset: its offset in CS.
    func decode(_ bytes: [UInt8], at: Int = 0, offset: UInt64, withText: Bool = true) -> DecodedInstruction? {
        guard at >= 0, at < bytes.count else { return nil }
        var raw = ZydisDecodedInstruction()
        return withUnsafeTemporaryAllocation(of: ZydisDecodedOperand.self, capacity: 10) { operands -> DecodedInstruction? in
            guard let list = operands.baseAddress else { return nil }
            let status = bytes.withUnsafeBytes { buffer in
                ZydisDecoderDecodeFull(decoder, buffer.baseAddress.map { $0 + at }, buffer.count - at, &raw, list)
            }
            guard status & 0x8000_0000 == 0 else { return nil }
            var result = DecodedInstruction(length: Int(raw.length), text: "", flow: Disassembler.flow(raw))
            result.isRepeated = raw.attributes & (1 << 28 | 1 << 29 | 1 << 30) != 0 && raw.meta.category == ZYDIS_CATEGORY_STRINGOP
            let name = raw.mnemonic
            result.isUndefined = name == ZYDIS_MNEMONIC_UD0 || name == ZYDIS_MNEMONIC_UD1 || name == ZYDIS_MNEMONIC_UD2
            result.isLoop = name == ZYDIS_MNEMONIC_LOOP || name == ZYDIS_MNEMONIC_LOOPE || name == ZYDIS_MNEMONIC_LOOPNE
            if raw.meta.category == ZYDIS_CATEGORY_COND_BR, raw.opcode & 0xF0 == 0x70 || raw.opcode & 0xF0 == 0x80 && raw.opcode_map == ZYDIS_OPCODE_MAP_0F {
                result.condition = raw.opcode & 0xF
            }
            for n in 0..<Int(raw.operand_count_visible) {
                let operand = list[n]
                if operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE, operand.imm.is_relative != 0 {
                    var target: UInt64 = 0
                    if ZydisCalcAbsoluteAddress(&raw, list + n, offset, &target) & 0x8000_0000 == 0 { result.target = target }
                } else if operand.type == ZYDIS_OPERAND_TYPE_MEMORY, result.memory == nil {
                    result.memory = Disassembler.memory(operand, raw)
                }
            }
            if withText {
                result.text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { text in
                    let done = ZydisFormatterFormatInstruction(
                        formatter, &raw, list, raw.operand_count_visible, text.baseAddress, text.count, offset, nil)
                    guard done & 0x8000_0000 == 0, let start = text.baseAddress else { return "(bad)" }
                    return String(cString: start)
                }
            }
            return result
        }
    }

    private static func flow(_ raw: ZydisDecodedInstruction) -> DecodedInstruction.Flow {
        switch raw.meta.category {
        case ZYDIS_CATEGORY_CALL: .call
        case ZYDIS_CATEGORY_RET: .ret
        case ZYDIS_CATEGORY_UNCOND_BR: .jump
        case ZYDIS_CATEGORY_COND_BR: .conditional
        case ZYDIS_CATEGORY_INTERRUPT: .interrupt
        case ZYDIS_CATEGORY_SYSCALL, ZYDIS_CATEGORY_SYSRET: .system
        default: .plain
        }
    }

    private static func memory(_ operand: ZydisDecodedOperand, _ raw: ZydisDecodedInstruction) -> DecodedInstruction.Memory? {
        let mem = operand.mem
        let segment = Int(mem.segment.rawValue) - Int(ZYDIS_REGISTER_ES.rawValue)
        let isRelative = mem.base == ZYDIS_REGISTER_RIP || mem.base == ZYDIS_REGISTER_EIP
        let reads = mem.type == ZYDIS_MEMOP_TYPE_MEM && raw.mnemonic != ZYDIS_MNEMONIC_NOP
        return DecodedInstruction.Memory(
            segment: (0..<6).contains(segment) ? segment : 3, base: isRelative ? nil : number(mem.base), index: number(mem.index),
            scale: UInt64(mem.scale), displacement: mem.disp.has_displacement != 0 ? UInt64(bitPattern: mem.disp.value) : 0, isRelative: isRelative,
            bytes: reads ? Int(operand.size) / 8 : 0, addressBits: Int(raw.address_width))
    }

    private static func number(_ register: ZydisRegister) -> Int? {
        guard register != ZYDIS_REGISTER_NONE, register.rawValue <= ZYDIS_REGISTER_R15.rawValue else { return nil }
        let id = ZydisRegisterGetId(register)
        return id >= 0 && id < 16 ? Int(id) : nil
    }
}
