/// Turns a `StateValue` back into a `Codable` value. Numbers that do not fit their fields, missing fields and values of another kind are
/// errors with the path of the field.
public enum StateDecoder {
    /// What is wrong and where: `channels.0.drives.1.kind is missing`.
    public struct Mismatch: Error, Equatable, Sendable { public let reason: String }

    public static func decode<T: Decodable>(_ type: T.Type, from value: StateValue) throws(Mismatch) -> T {
        do {
            return try Worker(value: value, path: Path()).decode(type)
        } catch let mismatch as Mismatch {
            throw mismatch
        } catch DecodingError.keyNotFound(let key, _) {
            throw Mismatch(reason: "\(key.stringValue) is missing")
        } catch {
            throw Mismatch(reason: "a value is of another kind")
        }
    }

    /// Keys from the outside in.
    private struct Path {
        var keys: [String] = []
        func adding(_ key: String) -> Path { Path(keys: keys + [key]) }
        func failure(_ what: String) -> Mismatch { Mismatch(reason: (keys.isEmpty ? "it" : keys.joined(separator: ".")) + " " + what) }
    }

    private struct Worker: Decoder {
        let value: StateValue
        let path: Path
        var codingPath: [any CodingKey] { [] }
        var userInfo: [CodingUserInfoKey: Any] { [:] }

        func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
            guard case .map(let pairs) = value else { throw path.failure("is not a map of fields") }
            return KeyedDecodingContainer(Keyed<Key>(pairs: pairs, path: path))
        }
        func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
            switch value {
            case .list(let values): return Unkeyed(values: values, path: path)
            case .bytes(let bytes): return Unkeyed(values: bytes.map { .unsigned(UInt64($0)) }, path: path)
            default: throw path.failure("is not a list")
            }
        }
        func singleValueContainer() throws -> any SingleValueDecodingContainer { Single(value: value, path: path) }

        func decode<T: Decodable>(_ type: T.Type) throws -> T {
            switch type {
            case is [UInt8].Type:
                guard case .bytes(let bytes) = value, let result = bytes as? T else { throw path.failure("is not bytes") }
                return result
            case is [UInt16].Type:
                guard case .words16(let words) = value, let result = words as? T else { throw path.failure("is not a list of 16-bit words") }
                return result
            case is [UInt32].Type:
                guard case .words32(let words) = value, let result = words as? T else { throw path.failure("is not a list of 32-bit words") }
                return result
            case is [UInt64].Type:
                guard case .words64(let words) = value, let result = words as? T else { throw path.failure("is not a list of 64-bit words") }
                return result
            case is Bool.Type:
                guard case .flag(let flag) = value, let result = flag as? T else { throw path.failure("is neither true nor false") }
                return result
            case is String.Type:
                guard case .text(let text) = value, let result = text as? T else { throw path.failure("is not text") }
                return result
            case is Double.Type:
                guard case .double(let number) = value, let result = number as? T else { throw path.failure("is not a number") }
                return result
            case is Float.Type:
                guard case .double(let number) = value, let result = Float(number) as? T else { throw path.failure("is not a number") }
                return result
            case let integer as any FixedWidthInteger.Type:
                guard let number = StateDecoder.integer(integer, value), let result = number as? T else { throw path.failure("is not a number that fits") }
                return result
            default:
                do {
                    return try T(from: self)
                } catch is DecodingError {
                    throw path.failure("has no value that it can have")
                }
            }
        }
    }

    private static func integer<I: FixedWidthInteger>(_ type: I.Type, _ value: StateValue) -> I? {
        switch value {
        case .unsigned(let number): I(exactly: number)
        case .negative(let number): I(exactly: number)
        default: nil
        }
    }

    private struct Keyed<Key: CodingKey>: KeyedDecodingContainerProtocol {
        let pairs: [StateValue.Pair]
        let path: Path
        var codingPath: [any CodingKey] { [] }
        var allKeys: [Key] { pairs.compactMap { Key(stringValue: $0.key) } }
        func contains(_ key: Key) -> Bool { pairs.contains { $0.key == key.stringValue } }
        private func worker(_ key: Key) throws -> Worker {
            let inner = path.adding(key.stringValue)
            guard let pair = pairs.first(where: { $0.key == key.stringValue }) else { throw inner.failure("is missing") }
            return Worker(value: pair.value, path: inner)
        }
        func decodeNil(forKey key: Key) throws -> Bool { try worker(key).value == .null }
        func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try worker(key).decode(type) }
        func nestedContainer<N: CodingKey>(keyedBy: N.Type, forKey key: Key) throws -> KeyedDecodingContainer<N> { try worker(key).container(keyedBy: N.self) }
        func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer { try worker(key).unkeyedContainer() }
        func superDecoder() throws -> any Decoder { throw path.failure("has a parent, which saved state does not know") }
        func superDecoder(forKey key: Key) throws -> any Decoder { try worker(key) }
    }

    private struct Unkeyed: UnkeyedDecodingContainer {
        let values: [StateValue]
        let path: Path
        var codingPath: [any CodingKey] { [] }
        var count: Int? { values.count }
        var currentIndex = 0
        var isAtEnd: Bool { currentIndex >= values.count }
        init(values: [StateValue], path: Path) { (self.values, self.path) = (values, path) }
        private mutating func next() throws -> Worker {
            guard currentIndex < values.count else { throw path.failure("has too few values") }
            defer { currentIndex += 1 }
            return Worker(value: values[currentIndex], path: path.adding(String(currentIndex)))
        }
        mutating func decodeNil() throws -> Bool {
            guard currentIndex < values.count, values[currentIndex] == .null else { return false }
            currentIndex += 1
            return true
        }
        mutating func decode<T: Decodable>(_ type: T.Type) throws -> T { try next().decode(type) }
        mutating func nestedContainer<N: CodingKey>(keyedBy: N.Type) throws -> KeyedDecodingContainer<N> { try next().container(keyedBy: N.self) }
        mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try next().unkeyedContainer() }
        mutating func superDecoder() throws -> any Decoder { try next() }
    }

    private struct Single: SingleValueDecodingContainer {
        let value: StateValue
        let path: Path
        var codingPath: [any CodingKey] { [] }
        func decodeNil() -> Bool { value == .null }
        func decode<T: Decodable>(_ type: T.Type) throws -> T { try Worker(value: value, path: path).decode(type) }
    }
}
