import CPU
import Primitives

/// What trace events are about; the words that the user switches them on by.
public enum TraceCategory: UInt8, CaseIterable, Sendable {
    case io, irq, pit, kbd, fdc, ide, vga, pci, dma, rtc
    /// These cost something, and are told of only when somebody has switched them on.
    case cpu, mem, tlb, bios

    public var name: String { "\(self)" }
    public init?(name: String) {
        guard let match = TraceCategory.allCases.first(where: { $0.name == name }) else { return nil }
        self = match
    }
}

public struct TraceCategories: OptionSet, Equatable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public init(_ category: TraceCategory) { rawValue = 1 << UInt32(category.rawValue) }
    public static let all = TraceCategories(rawValue: (1 << UInt32(TraceCategory.allCases.count)) - 1)

    public func contains(_ category: TraceCategory) -> Bool { rawValue >> UInt32(category.rawValue) & 1 != 0 }
    public var names: [String] { TraceCategory.allCases.filter(contains).map(\.name) }
}

/// What happened. The raw value stands in the ring, so a new one goes to the end.
public enum TraceCode: UInt8, Sendable {
    case portRead, portWrite
    case acknowledge
    case counterControl
    case controllerCommand, controllerData, controllerRead
    case floppyCommand
    case driveCommand, drivePacket, driveReset
    case miscOutput, graphicsMode, dispiEnable
    case configRead, configWrite
    case burst
    case cmosWrite
    case exception, interrupt, softwareInterrupt, firmwareCall, controlRegister, farTransfer, taskSwitch
    case pageWalk, translationFlush, pageInvalidation
    case registerRead, registerWrite, a20, memoryMap
}

/// One event, 32 bytes, as it lies in the ring.
public struct TraceEvent: Equatable, Sendable {
    /// Guest time.
    public var time: Nanoseconds = 0
    public var category: UInt8 = 0
    public var code: UInt8 = 0
    /// Bytes of an access, or a unit's number.
    public var size: UInt16 = 0
    /// Port, register, or whatever the code says.
    public var place: UInt32 = 0
    public var value: UInt64 = 0
    /// Of the processor, as in `ProcessorEvent.position`; 0: not known.
    public var position: UInt64 = 0

    public init() {}

    public init(_ category: TraceCategory, _ code: TraceCode, size: UInt16 = 0, place: UInt32 = 0, value: UInt64 = 0) {
        (self.category, self.code) = (category.rawValue, code.rawValue)
        (self.size, self.place, self.value) = (size, place, value)
    }

    /// `CS:offset` and what happened.
    public var line: String { position == 0 ? text : "\(TraceEvent.place(position)) \(text)" }

    private static func place(_ position: UInt64) -> String {
        func hex(_ value: UInt64, _ digits: Int) -> String {
            let text = String(value, radix: 16)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        // Offsets of the upper half lost their sign in 48 bits.
        let low = position & 0xFFFF_FFFF_FFFF, offset = low >> 47 != 0 ? low | 0xFFFF << 48 : low
        return "\(hex(position >> 48, 4)):\(hex(offset, offset > 0xFFFF ? 8 : 4))"
    }

    /// What happened as `key=value`; a ring from a file may hold anything.
    public var text: String {
        func hex(_ value: some FixedWidthInteger) -> String { "0x" + String(value, radix: 16) }
        switch TraceCode(rawValue: code) {
        case .portRead: return "read port=\(hex(place)) size=\(size) value=\(hex(value))"
        case .portWrite: return "write port=\(hex(place)) size=\(size) value=\(hex(value))"
        case .acknowledge: return "acknowledge cpu=\(size) vector=\(hex(value))"
        case .counterControl: return "control value=\(hex(value)) counter=\(value >> 6 & 3) mode=\(value >> 1 & 7)"
        case .controllerCommand: return "command value=\(hex(value))"
        case .controllerData: return "data value=\(hex(value))"
        case .controllerRead: return "read value=\(hex(value)) mouse=\(size)"
        case .floppyCommand: return "command value=\(hex(value)) drive=\(size)"
        case .driveCommand: return "command channel=\(size >> 8) drive=\(size & 0xFF) value=\(hex(value)) lba=\(hex(place))"
        case .drivePacket: return "packet drive=\(size & 0xFF) value=\(hex(value)) bytes=\(place)"
        case .driveReset: return "reset channel=\(size)"
        case .miscOutput: return "misc value=\(hex(value))"
        case .graphicsMode: return "graphics=\(value & 1) misc-register=\(hex(value))"
        case .dispiEnable: return "dispi enable=\(hex(value)) size=\(place >> 16)x\(place & 0xFFFF)"
        case .configRead: return "read function=\(place >> 11).\(place >> 8 & 7) offset=\(hex(place & 0xFF)) size=\(size) value=\(hex(value))"
        case .configWrite: return "write function=\(place >> 11).\(place >> 8 & 7) offset=\(hex(place & 0xFF)) size=\(size) value=\(hex(value))"
        case .burst: return "burst channel=\(place) address=\(hex(value)) bytes=\(size)"
        case .cmosWrite: return "write register=\(hex(place)) value=\(hex(value))"
        case .exception:
            let names = ["DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM", "DF", "9", "TS", "NP", "SS", "GP", "PF", "15", "MF", "AC", "MC", "XM"]
            let name = Int(size) < names.count ? names[Int(size)] : String(size)
            return "exception #\(name)" + (place >> 16 != 0 ? " error=\(hex(place & 0xFFFF))" : "") + (size == 14 ? " cr2=\(hex(value))" : "")
        case .interrupt: return "interrupt vector=\(hex(size))"
        case .softwareInterrupt: return "int vector=\(hex(size)) rax=\(hex(value))"
        case .firmwareCall:
            let registers = "eax=\(hex(UInt32(truncatingIfNeeded: value))) ebx=\(hex(value >> 32)) cx=\(hex(place >> 16)) dx=\(hex(place & 0xFFFF))"
            return "int vector=\(hex(size)) \(registers)"
        case .controlRegister: return "write cr\(size) value=\(hex(value))"
        case .farTransfer: return "\(["jmp", "call", "ret", "iret"][Int(size & 3)]) to=\(TraceEvent.place(value))"
        case .taskSwitch: return "task selector=\(hex(size))"
        case .pageWalk: return "walk \(["read", "write", "execute"][min(Int(size), 2)]) linear=\(hex(value)) page=\(hex(UInt64(place) << 12))"
        case .translationFlush: return "flush global-pages-stay=\(size & 1)"
        case .pageInvalidation: return "invlpg linear=\(hex(value))"
        case .registerRead: return "read address=\(hex(place)) size=\(size) value=\(hex(value))"
        case .registerWrite: return "write address=\(hex(place)) size=\(size) value=\(hex(value))"
        case .a20: return "a20 open=\(value)"
        case .memoryMap: return "map changed"
        case nil: return "unknown code=\(code)"
        }
    }
}

/// The last events, in memory that the host side gives: a file's, so that they outlive the process.
///
/// Layout: the number of events ever written (8 bytes), 24 bytes of zeros, then `capacity` events.
public struct TraceRing {
    public static let capacity = 4096
    public static let bytes = 32 + capacity * MemoryLayout<TraceEvent>.stride

    private let base: UnsafeMutableRawPointer

    /// - Parameter base: `bytes` bytes, aligned to 8, that stay.
    public init(_ base: UnsafeMutableRawPointer) { self.base = base }

    public var count: UInt64 { base.load(as: UInt64.self) }

    @inline(__always)
    func append(_ event: TraceEvent) {
        let number = base.load(as: UInt64.self)
        base.storeBytes(of: event, toByteOffset: TraceRing.place(number), as: TraceEvent.self)
        base.storeBytes(of: number &+ 1, as: UInt64.self)
    }

    private static func place(_ number: UInt64) -> Int {
        32 + Int(number & UInt64(capacity - 1)) * MemoryLayout<TraceEvent>.stride
    }

    /// Events from number `first` on, as far as they are still there.
    public func events(from first: UInt64) -> [TraceEvent] {
        let end = count
        let oldest = end > UInt64(TraceRing.capacity) ? end - UInt64(TraceRing.capacity) : 0
        let first = min(max(first, oldest), end)
        return (first..<end).map { base.load(fromByteOffset: TraceRing.place($0), as: TraceEvent.self) }
    }
}
