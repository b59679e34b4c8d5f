import CPU
import Foundation
import Hardware

/// Registers of one processor.
public struct DebugRegisters: Codable, Equatable, Sendable {
    public struct Segment: Codable, Equatable, Sendable {
        public var name: String
        public var selector: UInt16
        public var base: UInt64
        public var limit: UInt32
        /// Descriptor bytes 5 and 6: type, S, DPL, P, AVL, L, D/B, G.
        public var attributes: UInt16
    }
    public struct Named: Codable, Equatable, Sendable {
        public var name: String
        public var value: UInt64
        public init(_ name: String, _ value: UInt64) { (self.name, self.value) = (name, value) }
    }
    public struct FPU: Codable, Equatable, Sendable {
        public var control: UInt16
        /// With TOP in bits 11–13.
        public var status: UInt16
        /// The full tag word: two bits for each physical register.
        public var tag: UInt16
        public var opcode: UInt16
        public var instructionSelector: UInt16
        public var instructionPointer: UInt64
        public var dataSelector: UInt16
        public var dataPointer: UInt64
        /// ST(0)–ST(7), whose significands are MM0–MM7 by physical number.
        public var registers: [Register]
        public struct Register: Codable, Equatable, Sendable {
            public var significand: UInt64
            public var signExponent: UInt16
            public var isEmpty: Bool
            public init(significand: UInt64, signExponent: UInt16, isEmpty: Bool) {
                (self.significand, self.signExponent, self.isEmpty) = (significand, signExponent, isEmpty)
            }
        }
    }

    public var vcpu: Int
    public var vcpus: Int
    public var mode: ExecutionMode
    /// RAX RCX RDX RBX RSP RBP RSI RDI R8–R15.
    public var general: [UInt64]
    public var rip: UInt64
    public var eflags: UInt32
    public var cpl: UInt8
    public var a20: Bool
    public var isPaging: Bool
    public var isHalted: Bool
    /// ES CS SS DS FS GS LDTR TR.
    public var segments: [Segment]
    public var gdtr: Segment
    public var idtr: Segment
    /// CR0 CR2 CR3 CR4 CR8 XCR0.
    public var control: [Named]
    /// DR0–DR3, DR6, DR7.
    public var debug: [Named]
    public var msrs: [Named]
    public var fpu: FPU
    /// MM0–MM7.
    public var mmx: [UInt64]
    /// YMM0–YMM15, four words each, the lowest first; XMM is the lower two.
    public var vectors: [[UInt64]]
    public var mxcsr: UInt32
    /// Instructions this processor has retired.
    public var retired: UInt64
    /// Linear address of the next instruction.
    public var linear: UInt64
    /// Guest time in nanoseconds.
    public var time: UInt64

    /// `EAX`, `ESP` as the mode has them: 16, 32 or 64 bits wide.
    public static let names64 = [
        "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15",
    ]
    /// Flags from bit 0 on; "" where there is none.
    public static let flagNames = [
        "CF", "", "PF", "", "AF", "", "ZF", "SF", "TF", "IF", "DF", "OF", "", "", "NT", "", "RF", "VM", "AC", "VIF", "VIP", "ID",
    ]
}

/// Memory without side effects.
public struct DebugMemory: Equatable, Sendable {
    /// Linear, or physical where that was asked for.
    public var address: UInt64
    public var isPhysical: Bool
    public var bytes: [UInt8]
    /// Parts that are no memory: not mapped, or registers of devices.
    public var missing: [Range<Int>]

    public init(address: UInt64, isPhysical: Bool, bytes: [UInt8], missing: [Range<Int>] = []) {
        (self.address, self.isPhysical, self.bytes, self.missing) = (address, isPhysical, bytes, missing)
    }
}

/// Bytes go as base64: 64 KiB are many numbers.
extension DebugMemory: Codable {
    private enum Key: String, CodingKey { case address, isPhysical, bytes, missing }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        address = try values.decode(UInt64.self, forKey: .address)
        isPhysical = try values.decode(Bool.self, forKey: .isPhysical)
        bytes = Array(try values.decode(Data.self, forKey: .bytes))
        missing = try values.decode([Range<Int>].self, forKey: .missing)
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Key.self)
        try values.encode(address, forKey: .address)
        try values.encode(isPhysical, forKey: .isPhysical)
        try values.encode(Data(bytes), forKey: .bytes)
        try values.encode(missing, forKey: .missing)
    }
}

public struct DebugInstruction: Codable, Equatable, Sendable {
    public var linear: UInt64
    /// Offset in CS as the processor has it now.
    public var offset: UInt64
    public var bytes: [UInt8]
    /// Intel syntax, symbols in place of addresses.
    public var text: String
    /// The symbol that begins here.
    public var label: String?
    /// Where a direct branch leads, linear.
    public var target: UInt64?
    /// Memory operand: its linear address and what is there, as the registers are now. Only for the next instruction of the processor.
    public var operand: Operand?
    public struct Operand: Codable, Equatable, Sendable {
        public var linear: UInt64
        public var bytes: Int
        /// nil: it is no memory.
        public var value: UInt64?
    }
    /// A breakpoint at it; negative: a disabled one.
    public var breakpoint: Int?
    /// The next instruction of the processor.
    public var isCurrent: Bool
    /// The conditional branch is going to be taken; nil: it is none, or not the next instruction.
    public var isTaken: Bool?
}

public struct DebugBranch: Codable, Equatable, Sendable {
    public var vcpu: Int
    public var from, to: UInt64
    public var retired: UInt64
    /// call, ret, jump, int, iret, interrupt.
    public var kind: String
    /// `to` as a symbol.
    public var label: String?
}

/// A descriptor table, decoded.
public struct DebugTable: Codable, Equatable, Sendable {
    public struct Row: Codable, Equatable, Sendable {
        public var index: Int
        public var raw: UInt64
        /// The upper half of a 16-byte descriptor.
        public var high: UInt64?
        public var text: String
    }
    public var kind: DebugTableKind
    public var base: UInt64
    public var limit: UInt32
    public var rows: [Row]
    /// Rows that are not shown, or could not be read.
    public var note: String
}
