import CPU
import Primitives

// The board as a debugger sees it. Nothing here has an effect that the guest could notice.
extension PC {
    /// In the order of their numbers; empty with engines that are not ours.
    public var processors: [Processor] { engines.compactMap { $0 as? Processor } }
    /// Of the processor that runs, or ran last.
    public var runningProcessor: Int { current }

    public func setStopPoints(_ points: StopPoints) { for processor in processors { processor.stopPoints = points } }

    /// What ended the last `run` with `.debug`: by processor.
    public func takeHits() -> [(processor: Int, hit: DebugHit)] {
        processors.enumerated().flatMap { number, processor in processor.takeHits().map { (number, $0) } }
    }

    /// Instructions that got #UD for their bytes since the last call, each place once.
    public func takeUndefined() -> [UndefinedInstruction] {
        var all: [UndefinedInstruction] = []
        for engine in engines { if let processor = engine as? Processor { all += processor.takeUndefined() } }
        return all
    }

    /// What the shutdown that ended the last run began with, when that was such an instruction.
    public var fatalUndefined: UndefinedInstruction? { (engine as? Processor)?.fatalUndefined }

    /// Stored fields of every chip, by its name.
    public var chipReports: [ChipReport] {
        zip(chipNames, devices).map { name, device in
            ChipReport(name: name, fields: ChipReport.fields(device), ports: device.ports, windows: device.windows)
        }
    }

    /// Configuration space of every PCI function.
    public var pciReports: [PCIReport] {
        zip(chipNames, devices.indices).compactMap { name, position in
            guard let (number, function) = devices[position].pciAddress, functions[(number & 31) << 3 | function & 7] == UInt8(position) else { return nil }
            return PCIReport(name: name, device: number, function: function, bytes: (0..<256).map { devices[position].configRead($0) })
        }.sorted { ($0.device, $0.function) < ($1.device, $1.function) }
    }

    public func peekDisplay(_ address: Physical, count: Int) -> [UInt8]? {
        chip(place.vga, VGA.self) { $0.peekWindow(address, count: count, memory) }
    }

    /// What a port would read, without reading it; nil: no chip decodes it.
    public func peekPort(_ port: Port) -> UInt8? { bus.owner(of: port, size: 1).map { devices[$0].peek(port) } }
}

/// A chip's registers for people.
public struct ChipReport: Equatable, Sendable, Codable {
    public struct Field: Equatable, Sendable, Codable {
        public var name, value: String
        public init(name: String, value: String) { (self.name, self.value) = (name, value) }
    }
    public var name: String
    public var fields: [Field]
    public var ports: [ClosedRange<Port>]
    public var windows: [ClosedRange<Physical>]

    public init(name: String, fields: [Field], ports: [ClosedRange<Port>] = [], windows: [ClosedRange<Physical>] = []) {
        (self.name, self.fields, self.ports, self.windows) = (name, fields, ports, windows)
    }

    private static let elementLimit = 16, fieldLimit = 200

    /// By reflection: parts of parts are `part.field`, long lists are cut.
    static func fields(_ value: Any) -> [Field] {
        var result: [Field] = []
        collect(value, prefix: "", depth: 0, &result)
        return result
    }

    private static func collect(_ value: Any, prefix: String, depth: Int, _ result: inout [Field]) {
        for child in Mirror(reflecting: value).children {
            guard result.count < fieldLimit else { return }
            let name = prefix + (child.label ?? "?")
            if let text = text(child.value) {
                result.append(Field(name: name, value: text))
            } else if depth < 3 {
                collect(child.value, prefix: name + ".", depth: depth + 1, &result)
            }
        }
    }

    /// nil: it has parts that are shown one by one.
    private static func text(_ value: Any) -> String? {
        switch value {
        case let value as Bool: return value ? "1" : "0"
        case let value as UInt8: return value.hex
        case let value as UInt16: return value.hex
        case let value as UInt32: return value.hex
        case let value as UInt64: return value.hex
        case let value as any BinaryInteger: return String(value)
        case let value as String: return value
        default: break
        }
        let mirror = Mirror(reflecting: value)
        switch mirror.displayStyle {
        case .optional: return mirror.children.first.map { text($0.value) ?? "…" } ?? "-"
        case .collection, .set:
            let shown = mirror.children.prefix(elementLimit).map { text($0.value) ?? "…" }.joined(separator: " ")
            return mirror.children.count > elementLimit ? "\(shown) … (\(mirror.children.count))" : shown
        case .enum: return String(describing: value)
        case .dictionary: return "\(mirror.children.count) entries"
        case .struct, .tuple, .class: return mirror.children.isEmpty ? String(describing: value) : nil
        default: return String(describing: value)
        }
    }
}

public struct PCIReport: Equatable, Sendable, Codable {
    public var name: String
    public var device: Int
    public var function: Int
    /// The first 256 bytes of configuration space.
    public var bytes: [UInt8]
}
