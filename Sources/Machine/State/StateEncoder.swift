/// Turns a `Codable` value into a `StateValue`: structs into maps of their fields, arrays of bytes and words into packed ones. An optional
/// that is nil is written as nothing, not left out, so that a reader can tell it from a field that the writer did not know.
public enum StateEncoder {
    public static func encode(_ value: any Encodable) throws -> StateValue {
        // By type: an empty array of one kind can be cast to one of any other.
        let type = type(of: value)
        if type == [UInt8].self, let bytes = value as? [UInt8] { return .bytes(bytes) }
        if type == [UInt16].self, let words = value as? [UInt16] { return .words16(words) }
        if type == [UInt32].self, let words = value as? [UInt32] { return .words32(words) }
        if type == [UInt64].self, let words = value as? [UInt64] { return .words64(words) }
        switch value {
        case let flag as Bool: return .flag(flag)
        case let number as any UnsignedInteger: return .unsigned(UInt64(truncatingIfNeeded: number))
        case let number as any SignedInteger: return .number(Int64(truncatingIfNeeded: number))
        case let text as String: return .text(text)
        case let number as Double: return .double(number)
        case let number as Float: return .double(Double(number))
        default:
            let node = Node()
            try value.encode(to: Worker(node: node))
            return node.value
        }
    }

    /// A value under way, shared by the containers that fill it.
    private final class Node {
        enum Kind { case single(StateValue), list([Node]), map([(String, Node)]) }
        var kind = Kind.single(.null)

        var value: StateValue {
            switch kind {
            case .single(let value): value
            case .list(let nodes): .list(nodes.map(\.value))
            case .map(let pairs): .map(pairs.map { StateValue.Pair($0.0, $0.1.value) })
            }
        }

        func child(_ key: String) -> Node {
            let node = Node()
            if case .map(var pairs) = kind {
                pairs.append((key, node))
                kind = .map(pairs)
            } else {
                kind = .map([(key, node)])
            }
            return node
        }

        func append() -> Node {
            let node = Node()
            if case .list(var nodes) = kind {
                nodes.append(node)
                kind = .list(nodes)
            } else {
                kind = .list([node])
            }
            return node
        }
    }

    private struct Worker: Encoder {
        let node: Node
        var codingPath: [any CodingKey] { [] }
        var userInfo: [CodingUserInfoKey: Any] { [:] }

        func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
            if case .map = node.kind {} else { node.kind = .map([]) }
            return KeyedEncodingContainer(Keyed<Key>(node: node))
        }
        func unkeyedContainer() -> any UnkeyedEncodingContainer {
            if case .list = node.kind {} else { node.kind = .list([]) }
            return Unkeyed(node: node)
        }
        func singleValueContainer() -> any SingleValueEncodingContainer { Single(node: node) }
    }

    private struct Keyed<Key: CodingKey>: KeyedEncodingContainerProtocol {
        let node: Node
        var codingPath: [any CodingKey] { [] }
        mutating func encodeNil(forKey key: Key) { _ = node.child(key.stringValue) }
        mutating func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
            node.child(key.stringValue).kind = .single(try StateEncoder.encode(value))
        }
        private func optional(_ value: (any Encodable)?, _ key: Key) throws {
            let child = node.child(key.stringValue)
            if let value { child.kind = .single(try StateEncoder.encode(value)) }
        }
        mutating func encodeIfPresent<T: Encodable>(_ value: T?, forKey key: Key) throws { try optional(value, key) }
        mutating func encodeIfPresent(_ value: Bool?, forKey key: Key) throws { try optional(value, key) }
        mutating func encodeIfPresent(_ value: String?, forKey key: Key) throws { try optional(value, key) }
        mutating func encodeIfPresent(_ value: Double?, forKey key: Key) throws { try optional(value, key) }
        mutating func encodeIfPresent(_ value: Float?, forKey key: Key) throws { try optional(value, key) }
        mutating func encodeIfPresent(_ value: Int?, forKey key: Key) throws { try optional(value, key) }
        mutating func encodeIfPresent(_ value: Int8?, forKey key: Key) throws { try optional(value, key) }
        mutating func encodeIfPresent(_ value: Int16?, forKey key: Key) throws { try optional(value, key) }
        mutating func encodeIfPresent(_ value: Int32?, forKey key: Key) throws { try optional(value, key) }
        mutating func encodeIfPresent(_ value: Int64?, forKey key: Key) throws { try optional(value, key) }
        mutating func encodeIfPresent(_ value: UInt?, forKey key: Key) throws { try optional(value, key) }
        mutating func encodeIfPresent(_ value: UInt8?, forKey key: Key) throws { try optional(value, key) }
        mutating func encodeIfPresent(_ value: UInt16?, forKey key: Key) throws { try optional(value, key) }
        mutating func encodeIfPresent(_ value: UInt32?, forKey key: Key) throws { try optional(value, key) }
        mutating func encodeIfPresent(_ value: UInt64?, forKey key: Key) throws { try optional(value, key) }
        mutating func nestedContainer<N: CodingKey>(keyedBy: N.Type, forKey key: Key) -> KeyedEncodingContainer<N> {
            Worker(node: node.child(key.stringValue)).container(keyedBy: N.self)
        }
        mutating func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
            Worker(node: node.child(key.stringValue)).unkeyedContainer()
        }
        mutating func superEncoder() -> any Encoder { Worker(node: node.child("super")) }
        mutating func superEncoder(forKey key: Key) -> any Encoder { Worker(node: node.child(key.stringValue)) }
    }

    private struct Unkeyed: UnkeyedEncodingContainer {
        let node: Node
        var codingPath: [any CodingKey] { [] }
        var count = 0
        init(node: Node) { self.node = node }
        mutating func encodeNil() {
            count += 1
            _ = node.append()
        }
        mutating func encode<T: Encodable>(_ value: T) throws {
            count += 1
            node.append().kind = .single(try StateEncoder.encode(value))
        }
        mutating func nestedContainer<N: CodingKey>(keyedBy: N.Type) -> KeyedEncodingContainer<N> {
            count += 1
            return Worker(node: node.append()).container(keyedBy: N.self)
        }
        mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
            count += 1
            return Worker(node: node.append()).unkeyedContainer()
        }
        mutating func superEncoder() -> any Encoder { Worker(node: node.append()) }
    }

    private struct Single: SingleValueEncodingContainer {
        let node: Node
        var codingPath: [any CodingKey] { [] }
        mutating func encodeNil() { node.kind = .single(.null) }
        mutating func encode<T: Encodable>(_ value: T) throws { node.kind = .single(try StateEncoder.encode(value)) }
    }
}
